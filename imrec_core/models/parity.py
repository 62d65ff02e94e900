"""Numerical parity and speed of a network's encoder, compared with the reference implementation of its authors."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imrec_core.errors import BadSource, ImageError
from imrec_core.images.batch import ImageBatch
from imrec_core.images.decode import decode
from imrec_core.images.sample_photos import PHOTOS
from imrec_core.lake.settings import EXTENSIONS
from imrec_core.lake.storage.files import read_bytes
from imrec_core.models.encoders import Encoder, Pixels, TorchEncoder, Vectors, load_encoder
from imrec_core.models.model import Model

_COUNT = 32  # images: two or three seconds of ResNet-50 in eager fp32
_SIDE = 256


def sample_images(folder: Path | None = None) -> list[Pixels]:
    """Load test images from a folder, or from scikit-learn and scikit-image.

    Raises:
        BadSource: The folder has no readable image.
    """
    contents = _read_package_photos() if folder is None else _read_folder(folder)
    found: list[Pixels] = []
    for content in contents:
        try:
            pixels = decode(content).pixels
        except ImageError:
            continue
        found += [pixels] if folder else _cut_squares(pixels)
        if len(found) >= _COUNT:
            break
    if not found:
        raise BadSource(f"{folder}: no readable image; expected at least one")
    return found[:_COUNT]


def _read_folder(folder: Path) -> Iterator[bytes]:
    found = (path for path in sorted(folder.rglob("*.*")) if path.suffix.lower().lstrip(".") in EXTENSIONS)
    return (read_bytes(path) for path in found if path.is_file())


def _read_package_photos() -> Iterator[bytes]:
    for package, names in PHOTOS.items():
        try:
            root = files(package)
        except ModuleNotFoundError:  # scikit-image is part of an extra
            continue
        yield from ((root / name).read_bytes() for name in names)


def _cut_squares(pixels: Pixels) -> list[NDArray[np.uint8]]:
    """Cut a photo into at most 16 overlapping squares.

    The two photos of scikit-learn alone would be too few.
    """
    height, width = pixels.shape[:2]
    tops, lefts = range(0, height - _SIDE + 1, _SIDE // 2), range(0, width - _SIDE + 1, _SIDE // 2)
    return [pixels[top : top + _SIDE, left : left + _SIDE] for top in tops for left in lefts][:16]


@dataclass(frozen=True)
class Parity:
    """Parity of a model's encoder with the reference.

    Attributes:
        backend, precision: Backend and precision of the encoder.
        reference: `torch fp32`, or `openvino fp32` for an ONNX file.
        mean, least: Mean and minimum over images of the cosine similarity of both vectors.
        images_per_second, reference_images_per_second: Throughput from preprocessed images to vectors.
    """

    backend: str
    precision: str
    reference: str
    mean: float
    least: float
    images_per_second: float
    reference_images_per_second: float


def measure_parity(model: Model, pictures: list[Pixels], *, precision: str = "auto") -> Parity:
    """Compare the encoder of a model with its reference, eager torch in fp32.

    Args:
        model: The model.
        pictures: One or more RGB images `(height, width, 3)` of any size.
        precision: Precision of the encoder.

    Raises:
        MissingDependency, MissingWeights, BadModel: As `encoders.load_encoder`.
    """
    pixels = ImageBatch(pictures).prepared(model.preprocess)
    encoder = load_encoder(model, precision=precision)
    is_onnx = model.loader == "onnx"
    reference: Encoder = load_encoder(model, precision="fp32") if is_onnx else TorchEncoder(model, "cpu", "fp32")
    fast, seconds = _encode_timed(encoder, pixels)
    slow, reference_seconds = _encode_timed(reference, pixels)
    cosines = (fast * slow).sum(axis=1) / np.linalg.norm(fast, axis=1) / np.linalg.norm(slow, axis=1)
    return Parity(
        encoder.backend,
        encoder.precision,
        f"{'openvino' if is_onnx else 'torch'} fp32",
        float(cosines.mean()),
        float(cosines.min()),
        len(pixels) / seconds,
        len(pixels) / reference_seconds,
    )


def _encode_timed(encoder: Encoder, pixels: Pixels) -> tuple[Vectors, float]:
    """Return the vectors, and the seconds of a run after a warm-up."""
    encoder(pixels[:1])
    start = time.perf_counter()
    return encoder(pixels), time.perf_counter() - start
