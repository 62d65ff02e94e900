"""Networks from their own libraries, from end to end: declared, built into a lake, searched.

The weights are random and most networks small, so nothing here says how good a network is.
"""

import numpy as np
import platformdirs
import pytest

from imrec_core import ImageId, Recommender, Text
from imrec_core.models import encoders, text_encoder
from imrec_core.models.model import Model
from imrec_core.models.registry import MODELS
from imrec_core.models.text_encoder import encode_text
from tests.support import networks, toy

pytestmark = pytest.mark.usefixtures("trusted_models")

WITHOUT_WORDS = ("timm", "torchvision", "torchscript", "module", "onnx")
WITH_WORDS = ("clip", "siglip")


@pytest.fixture(params=[*WITHOUT_WORDS, *WITH_WORDS, "dreamsim"])
def model(request, tmp_path, monkeypatch) -> Model:
    make = getattr(networks, f"{request.param}_model")
    made = make(tmp_path, monkeypatch) if request.param == "dreamsim" else make(tmp_path)
    networks.declare(monkeypatch, made)
    return made


SHALLOW = ("mobileclip2_s0", "siglip2_vit_b16", "pe_core_b16", "dinov3_small")
REGISTERED = (*SHALLOW, "mobileclip2_s2", "dinov3_base")


@pytest.fixture
def registered(request, tmp_path, monkeypatch) -> Model:
    """A model of the registry, with random weights in an empty cache of the hub."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda name: str(tmp_path / name))
    for loaded in (encoders._load, text_encoder._text_tower):  # of other weights
        loaded.cache_clear()
    name, _, depth = request.param.partition(":")
    if depth != "full":
        networks.shrink_registered(monkeypatch)
    networks.put_registered_on_hub(MODELS[name], tmp_path / "hub")
    yield MODELS[name]
    for loaded in (encoders._load, text_encoder._text_tower):
        loaded.cache_clear()


@pytest.fixture
def built(model, tmp_path):
    toy.write_photos(tmp_path / "photos", range(8))
    lake = toy.new_lake(tmp_path / "lake", [model.name])
    toy.build(lake)
    return lake


def test_library_code_builds_and_searches_random_weights(built, model, tmp_path):
    assert_builds_and_searches(built, model, tmp_path)


@pytest.mark.parametrize(
    "registered",
    [*SHALLOW, *(pytest.param(f"{name}:full", marks=pytest.mark.slow) for name in REGISTERED)],
    indirect=True,
)
def test_registered_model_builds_and_searches_random_weights(registered, tmp_path):
    """Code and input size are those of the real network; without `full` it has one block instead of many."""
    toy.write_photos(tmp_path / "photos", range(8))
    lake = toy.new_lake(tmp_path / "lake", [registered.name])
    toy.build(lake)
    assert_builds_and_searches(lake, registered, tmp_path)


def assert_builds_and_searches(built, model, tmp_path):
    """Photos are found by file, by id and, where there is a text tower, in the order of open_clip for a text."""
    recommender = Recommender.open(built)
    paths = recommender.generation.rows["path"].to_pylist()
    for row in (0, 5):
        by_file = recommender.search(tmp_path / "photos" / paths[row], k=8, with_self=True)
        assert by_file[0].path.endswith(paths[row]) and by_file[0].parts[model.name].distance < 1e-3
        assert by_file[1].parts[model.name].distance > 1e-3  # or all are alike, and nothing is shown
        by_id = recommender.search(ImageId(by_file[0].image_id), k=7)
        assert [hit.image_id for hit in by_id[:2]] == [hit.image_id for hit in by_file[1:3]]
    if model.text:
        ranked = [hit.path for hit in recommender.search(Text("a red car"), k=8)]
        likeness = (
            np.asarray(recommender.generation.matrix(model.name), np.float32) @ encode_text(model, ["a red car"])[0]
        )
        assert [path.rpartition("/")[2] for path in ranked] == [paths[row] for row in np.argsort(-likeness)]


@pytest.mark.parametrize("name", ["onnx", "dreamsim"])
def test_batch_that_a_lake_sets_changes_no_vectors_of_random_weights(name, tmp_path, monkeypatch):
    """It is of one picture at a time, and of more than a thread describes together otherwise."""
    make = getattr(networks, f"{name}_model")
    model = make(tmp_path, monkeypatch) if name == "dreamsim" else make(tmp_path)
    networks.declare(monkeypatch, model)
    toy.write_photos(tmp_path / "photos", range(30))
    submit, taken, matrices = encoders.OpenVinoEncoder.submit, {}, {}
    for batch in (None, 1, 24):
        sizes = taken[batch] = []
        monkeypatch.setattr(
            encoders.OpenVinoEncoder,
            "submit",
            lambda self, pixels, sizes=sizes: (sizes.append((self.batch, len(pixels))), submit(self, pixels))[1],
        )
        settings = {} if batch is None else {model.name: {"batch": batch}}
        lake = toy.new_lake(
            tmp_path / f"lake_{batch}", [model.name], shard_size=100, inference_precision="fp32", model_options=settings
        )
        toy.build(lake)
        recommender = Recommender.open(lake)
        matrices[batch] = np.asarray(recommender.generation.matrix(model.name), np.float32)
        assert recommender.search(tmp_path / "photos" / "photo_003.jpg", with_self=True)[0].path.endswith(
            "photo_003.jpg"
        )
    one = [(1, 16), (1, 14), (1, 1)]  # the last is the query
    assert taken == {None: [(4, n) for _, n in one], 1: one, 24: [(24, 24), (24, 6), (24, 1)]}
    for batch in (1, 24):
        np.testing.assert_allclose(matrices[batch], matrices[None], atol=1e-3)
