"""Networks in 8-bit integers: close to single floats, and only where the ranges of activations are known."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from imrec_core.errors import BadModel, DeclarationError
from imrec_core.images.batch import ImageBatch
from imrec_core.images.decode import decode
from imrec_core.models.encoders import OpenVinoEncoder, TorchEncoder, load_encoder
from imrec_core.models.openvino import from_torch
from imrec_core.models.quality import with_quality
from imrec_core.models.quantization import measure_ranges, quantize, stored_ranges
from imrec_core.models.registry import MODELS
from imrec_core.runtime.cpu import adds_bytes_exactly

NETWORK = "efficientnet_lite0"

pytestmark = pytest.mark.skipif(not adds_bytes_exactly(), reason="this CPU has no VNNI")


@pytest.fixture(scope="module")
def fast():
    return with_quality(MODELS[NETWORK], "fast")


@pytest.fixture(scope="module")
def pixels(fast) -> np.ndarray:
    """Photos, as drawings have activations of other ranges."""
    paths = [files("sklearn.datasets.images") / name for name in ("china.jpg", "flower.jpg")]
    paths += [files("skimage.data") / name for name in ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")]
    images = [decode(path.read_bytes(), min_side=256).pixels for path in paths]
    return ImageBatch([*images, *(np.ascontiguousarray(image[:, ::-1]) for image in images[:2])]).prepared(
        fast.preprocess
    )


def test_integers_are_close_to_single_floats(fast, pixels):
    quantised, exact = load_encoder(fast, device="cpu"), load_encoder(fast, device="cpu", precision="fp32")
    assert (quantised.precision, exact.precision) == ("int8", "fp32")
    cosines = (quantised(pixels) * exact(pixels)).sum(axis=1)
    assert 0.97 < cosines.min() < 0.9999
    np.testing.assert_allclose(np.linalg.norm(quantised(pixels), axis=1), 1, atol=1e-3)


def test_cpu_that_would_overflow_runs_no_integers(fast, monkeypatch):
    monkeypatch.setattr("imrec_core.models.openvino_encoder.adds_bytes_exactly", lambda: False)
    assert OpenVinoEncoder(fast).precision in ("bf16", "fp32")
    with pytest.raises(BadModel, match="this CPU has no VNNI, which int8 needs; use auto, bf16 or fp32"):
        OpenVinoEncoder(fast, "int8")


def test_best_quality_is_not_quantised():
    assert load_encoder(MODELS[NETWORK], device="cpu").precision != "int8"


def test_models_without_ranges_are_refused(fast):
    resnet = MODELS["resnet18"]
    assert stored_ranges(resnet.name) is None
    with pytest.raises(BadModel, match="it has no ranges for int8; use auto, bf16 or fp32"):
        OpenVinoEncoder(resnet, "int8")
    with pytest.raises(DeclarationError, match="torch runs no model in int8"):
        TorchEncoder(fast, "cpu", "int8")


def test_ranges_are_of_every_convolution_and_measured_again_alike(fast, pixels):
    network = from_torch(fast, 4)
    measured = measure_ranges(network, [pixels[:4], pixels[4:]])
    stored = stored_ranges(NETWORK)
    assert stored is not None and measured.keys() == stored.keys()
    for low, high in measured.values():
        assert low < high
    with pytest.raises(BadModel, match="it has no range for "):
        quantize(network, {}, NETWORK)


def test_quantised_network_is_cached_apart(fast, tmp_path: Path):
    for precision in ("fp32", "int8"):
        OpenVinoEncoder(fast, precision, cache=tmp_path)
    folders = [path for path in tmp_path.iterdir() if path.name.startswith(NETWORK)]
    assert len(folders) == 2
