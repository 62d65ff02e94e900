"""Words find pictures: the text towers of open_clip, on small random networks."""

from __future__ import annotations

import sys
import urllib.error

import numpy as np
import pytest

from imrec_core.errors import DeclarationError, MissingDependency, MissingWeights
from imrec_core.models.registry import MODELS
from imrec_core.models.text_encoder import encode_text
from imrec_core.search.query import Text
from tests.support import networks

SENTENCES = ("a red car", "a blue sky", "a photo of a car", "")


@pytest.fixture(params=[networks.clip_model, networks.siglip_model])
def model(request, tmp_path):
    return request.param(tmp_path)


def test_texts_become_unit_vectors_of_the_models_dims_random_weights(model):
    vectors = encode_text(model, SENTENCES)
    assert (vectors.shape, vectors.dtype) == ((4, model.dims), np.float32)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-4)
    alike = vectors @ vectors.T
    assert alike[np.triu_indices(4, 1)].max() < 0.999


def test_one_text_gives_what_it_gives_among_others_random_weights(model):
    together = encode_text(model, SENTENCES)
    np.testing.assert_allclose(encode_text(model, SENTENCES[1:2])[0], together[1], atol=1e-5)
    assert encode_text(model, []).shape == (0, model.dims)


def test_vectors_are_those_of_open_clip_random_weights(tmp_path):
    import open_clip
    import torch

    model = networks.clip_model(tmp_path)
    with torch.inference_mode():
        tokens = open_clip.get_tokenizer("ViT-B-32")(list(SENTENCES))
        plain = torch.nn.functional.normalize(networks.tiny_clip(tmp_path).encode_text(tokens)).numpy()
    np.testing.assert_allclose(encode_text(model, SENTENCES), plain, atol=1e-5)


def test_long_text_is_cut_not_refused_random_weights(model):
    assert np.isfinite(encode_text(model, ["a red car " * 200])).all()


def test_model_without_words_names_those_with():
    with pytest.raises(DeclarationError, match=r"resnet18 does not encode text; .*: clip_vit_b32, siglip_vit_b16"):
        encode_text(MODELS["resnet18"], ["a car"])


def test_missing_library_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(MissingDependency, match=r"open_clip .* pip install 'imrec\[clip\]'"):
        encode_text(MODELS["clip_vit_b32"], ["a car"])


@pytest.mark.parametrize("name", ["clip_vit_b32", "siglip_vit_b16"])
def test_missing_weights_without_a_network_are_reported_at_once(name, tmp_path, monkeypatch):
    from huggingface_hub import constants

    def refuse(*args: object, **options: object) -> None:
        raise urllib.error.URLError("unreachable")

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", refuse)
    with pytest.raises(MissingWeights, match=f"imrec models --fetch {name}"):
        encode_text(MODELS[name], ["a car"])


def test_missing_tokenizer_is_reported(tmp_path, monkeypatch):
    """Its weights may be here while its tokenizer is not."""
    from huggingface_hub import constants

    from imrec_core.models.loading import load_tokenizer

    def refuse(*args: object, **options: object) -> None:
        raise urllib.error.URLError("unreachable")

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", refuse)
    with pytest.raises(MissingWeights, match=r"siglip_vit_b16: .*no connection to huggingface\.co"):
        load_tokenizer(MODELS["siglip_vit_b16"])


def test_siglips_tokenizer_is_found_on_the_hub(tmp_path, monkeypatch):
    """A small tokenizer in the place of the real one; no newer one is fetched from the hub."""
    from huggingface_hub import constants

    from imrec_core.models.loading import load_tokenizer

    networks.put_tokenizer_on_hub(tmp_path / "hub", "timm/ViT-B-16-SigLIP")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    tokens = load_tokenizer(MODELS["siglip_vit_b16"])(["a red car"])
    assert tokens.shape == (1, 64)
    assert tokens[0, :4].tolist() == [3, 4, 5, 1]


def test_tokenizer_that_is_here_in_part_is_fetched_or_reported(tmp_path, monkeypatch):
    from huggingface_hub import constants

    from imrec_core.models.loading import load_tokenizer

    def refuse(*args: object, **options: object) -> None:
        raise urllib.error.URLError("unreachable")

    networks.put_on_hub(tmp_path, "timm/ViT-B-16-SigLIP", "tokenizer_config.json").write_text("{}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", refuse)
    with pytest.raises(MissingWeights, match=r"siglip_vit_b16: .*no connection to"):
        load_tokenizer(MODELS["siglip_vit_b16"])


def test_text_is_a_query_of_words():
    assert Text("a red car").value == "a red car"
