"""A network gives what its authors' code gives, on every way of running it."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from imrec_core import MODELS, ImageBatch
from imrec_core.errors import DeclarationError, MissingDependency, UnknownName
from imrec_core.models import encoders, torch_module
from imrec_core.models.encoders import OpenVinoEncoder, TorchEncoder, load_encoder
from tests.support.toy import photo

MODEL = MODELS["efficientnet_lite0"]


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """Ten photos, so that the last request is not full."""
    return ImageBatch([photo(seed, 320, 240) for seed in range(10)]).prepared(MODEL.preprocess)


@pytest.fixture(scope="module")
def eager(pixels) -> np.ndarray:
    """The reference: torch in single precision."""
    import torch

    with torch.inference_mode():
        return torch_module.torch_module(MODEL)(torch.from_numpy(pixels)).numpy()


@pytest.fixture
def no_openvino(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)


def cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return (one * other).sum(axis=1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)


def test_openvino_in_single_precision_equals_eager_torch(pixels, eager):
    encoder = load_encoder(MODEL.name, precision="fp32", device="cpu")
    assert (encoder.backend, encoder.precision) == ("openvino", "fp32")
    assert cosines(encoder(pixels), eager).min() >= 0.9999


def test_bf16_stays_near_and_every_photo_finds_itself(pixels, eager):
    encoder = load_encoder(MODEL.name, device="cpu")
    if encoder.precision != "bf16":
        pytest.skip("this CPU has no bf16")
    vectors = encoder(pixels)
    assert cosines(vectors, eager).mean() >= 0.99
    assert (vectors @ eager.T).argmax(axis=1).tolist() == list(range(len(pixels)))


def test_network_tells_the_photos_apart(eager):
    alike = eager @ eager.T
    assert np.delete(alike.ravel(), np.arange(0, alike.size, len(alike) + 1)).max() < 0.99


def test_without_openvino_torch_gives_the_same_and_says_so(pixels, eager, no_openvino, caplog):
    with caplog.at_level(logging.WARNING, "imrec_core.models.encoders"):
        encoder = encoders._load.__wrapped__(MODEL, MODEL.identity, "fp32", "cpu", "auto")
    assert (encoder.backend, encoder.precision) == ("torch-cpu", "fp32")
    assert "openvino is not installed" in caplog.text
    assert cosines(encoder(pixels), eager).min() >= 0.9999


def test_torch_in_bf16_stays_near(pixels, eager):
    assert cosines(TorchEncoder(MODEL, "cpu")(pixels), eager).mean() >= 0.99


def test_openvino_requested_and_missing_is_an_error(no_openvino):
    with pytest.raises(MissingDependency, match="openvino is not installed"):
        encoders._load.__wrapped__(MODEL, MODEL.identity, "auto", "cpu", "openvino")


def test_cuda_requested_and_missing_is_an_error():
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a graphics card")
    with pytest.raises(DeclarationError, match="device cuda"):
        encoders._load.__wrapped__(MODEL, MODEL.identity, "auto", "cuda", "auto")


def test_unknown_model_suggests_the_nearest():
    with pytest.raises(UnknownName, match="did you mean 'efficientnet_lite0'"):
        load_encoder("eficientnet_lite0")


def test_defaults_spelled_out_or_not_are_one_encoder():
    assert load_encoder(MODEL.name) is load_encoder(MODEL.name, precision="auto", device="auto")
    assert load_encoder(MODEL) is load_encoder(MODEL.name)


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 9])
def test_requests_that_are_not_full_give_as_many_rows(pixels, count):
    encoder = load_encoder(MODEL.name, precision="fp32", device="cpu")
    vectors = encoder(pixels[:count])
    assert vectors.shape == (count, MODEL.dims)
    np.testing.assert_allclose(vectors, encoder(pixels)[:count], atol=1e-5)


def test_batches_submitted_together_come_back_in_order(pixels):
    encoder = load_encoder(MODEL.name, precision="fp32", device="cpu")
    pending = [encoder.submit(pixels[i : i + 1]) for i in range(len(pixels))]
    backwards = [collect()[0] for collect in reversed(pending)]
    np.testing.assert_allclose(backwards[::-1], encoder(pixels), atol=1e-5)


def test_threads_share_one_encoder(pixels):
    encoder = load_encoder(MODEL.name, precision="fp32", device="cpu")
    found: dict[int, np.ndarray] = {}
    threads = [threading.Thread(target=lambda i=i: found.update({i: encoder(pixels[i : i + 2])})) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    whole = encoder(pixels)
    for i, vectors in found.items():
        np.testing.assert_allclose(vectors, whole[i : i + 2], atol=1e-5)
    assert len(found) == 6


def test_second_process_needs_no_torch():
    load_encoder(MODEL.name, device="cpu")  # makes the conversion where it is missing
    code = (
        "import sys, numpy as np\n"
        "from imrec_core.models.encoders import load_encoder\n"
        f"vectors = load_encoder({MODEL.name!r}, device='cpu')(np.zeros((1, 224, 224, 3), np.uint8))\n"
        "assert vectors.shape[0] == 1\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert (done.stdout.strip(), done.returncode) == ("False", 0), done.stderr


def test_conversion_that_is_there_is_not_made_again(monkeypatch, pixels):
    whole = load_encoder(MODEL.name, precision="fp32", device="cpu")(pixels[:4])
    monkeypatch.setattr(torch_module, "torch_module", lambda model: pytest.fail("converted again"))
    np.testing.assert_allclose(OpenVinoEncoder(MODEL, "fp32")(pixels[:4]), whole, atol=1e-6)


@pytest.mark.slow
def test_conversion_is_made_in_an_empty_cache(tmp_path, pixels, eager):
    encoder = OpenVinoEncoder(MODEL, "fp32", cache=tmp_path)
    assert sorted(path.name for path in tmp_path.glob("*/network.*")) == ["network.bin", "network.xml"]
    assert cosines(encoder(pixels), eager).min() >= 0.9999
