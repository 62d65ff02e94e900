"""How near the fast path of a network comes to the network as its authors run it, and how fast both are."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imrec_core.decode import ImageBatch, decode
from imrec_core.demo import PHOTOS
from imrec_core.encoders import Encoder, Pixels, TorchEncoder, Vectors, load_encoder
from imrec_core.errors import BadSource, ImageError
from imrec_core.models import Model
from imrec_core.settings import EXTENSIONS

_COUNT = 32  # pictures: two or three seconds of ResNet-50 in eager single precision
_SIDE = 256


def sample_pictures(folder: Path | None = None) -> list[Pixels]:
    """Pictures to compare on: of a folder, or parts of the photos that scikit-learn and scikit-image carry.

    Raises:
        BadSource: The folder holds no picture that can be read.
    """
    contents = _of_libraries() if folder is None else _of_folder(folder)
    found: list[Pixels] = []
    for content in contents:
        try:
            pixels = decode(content).pixels
        except ImageError:
            continue
        found += [pixels] if folder else _parts(pixels)
        if len(found) >= _COUNT:
            break
    if not found:
        raise BadSource(f"{folder} holds no picture that can be read")
    return found[:_COUNT]


def _of_folder(folder: Path) -> Iterator[bytes]:
    return (path.read_bytes() for path in sorted(folder.rglob("*.*")) if path.suffix.lower().lstrip(".") in EXTENSIONS)


def _of_libraries() -> Iterator[bytes]:
    for package, names in PHOTOS.items():
        try:
            root = files(package)
        except ModuleNotFoundError:  # scikit-image comes with an extra
            continue
        yield from ((root / name).read_bytes() for name in names)


def _parts(pixels: Pixels) -> list[NDArray[np.uint8]]:
    """Squares of a photo, so that two photos give several pictures."""
    height, width = pixels.shape[:2]
    tops, lefts = range(0, height - _SIDE + 1, _SIDE // 2), range(0, width - _SIDE + 1, _SIDE // 2)
    return [pixels[top : top + _SIDE, left : left + _SIDE] for top in tops for left in lefts][:16]


@dataclass(frozen=True)
class Agreement:
    """How near the fast path of a model comes to the reference, picture by picture.

    Attributes:
        backend, precision: Of the fast path.
        reference: `torch fp32`, or `openvino fp32` of an ONNX file.
        mean, least: Cosine of the two vectors of a picture.
        images_per_second, reference_images_per_second: Of each, prepared pictures to vectors.
    """

    backend: str
    precision: str
    reference: str
    mean: float
    least: float
    images_per_second: float
    reference_images_per_second: float


def agreement(model: Model, pictures: list[Pixels], *, precision: str = "auto") -> Agreement:
    """Compare the encoder of a model with eager torch in single precision.

    Args:
        model: The model.
        pictures: RGB `(height, width, 3)`, of any size; one or more.
        precision: Of the encoder.

    Raises:
        MissingDependency, MissingWeights, BadModel: As `encoders.load_encoder`.
    """
    pixels = ImageBatch(pictures).prepared(model.preprocess)
    encoder = load_encoder(model, precision=precision)
    is_onnx = model.loader == "onnx"
    reference: Encoder = load_encoder(model, precision="fp32") if is_onnx else TorchEncoder(model, "cpu", "fp32")
    fast, seconds = _timed(encoder, pixels)
    slow, reference_seconds = _timed(reference, pixels)
    cosines = (fast * slow).sum(axis=1) / np.linalg.norm(fast, axis=1) / np.linalg.norm(slow, axis=1)
    return Agreement(
        encoder.backend,
        encoder.precision,
        f"{'openvino' if is_onnx else 'torch'} fp32",
        float(cosines.mean()),
        float(cosines.min()),
        len(pixels) / seconds,
        len(pixels) / reference_seconds,
    )


def _timed(encoder: Encoder, pixels: Pixels) -> tuple[Vectors, float]:
    """The vectors, and the seconds that they took once the encoder was warm."""
    encoder(pixels[:1])
    start = time.perf_counter()
    return encoder(pixels), time.perf_counter() - start
