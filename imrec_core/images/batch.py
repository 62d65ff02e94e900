"""ImageBatch: decoded images that several features share, with cached intermediate results such as resized copies."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imrec_core.errors import DeclarationError
from imrec_core.images.preprocess import MIPMAP, Preprocess
from imrec_core.images.rgb import Pixels

T = TypeVar("T")

_RESAMPLING = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}  # both antialiased


class ImageBatch:
    """Images in memory, with intermediate results that several features share.

    Args:
        images: Upright RGB `uint8` arrays `(height, width, 3)` or `(height, width, 4)`; sizes may differ.
    """

    def __init__(self, images: Sequence[Pixels]) -> None:
        for image in images:
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (3, 4) or image.size == 0:
                raise DeclarationError(
                    f"ImageBatch: found {image.dtype} {image.shape}; expected uint8 (height, width, 3), RGB, not empty"
                )
        self._padded = [image if image.shape[2] == 4 else _pad(image) for image in images]
        self._cache: dict[Hashable, Any] = {}

    def __len__(self) -> int:
        return len(self._padded)

    def cached(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the cached result of this key; call `make` on first use."""
        if key not in self._cache:
            self._cache[key] = make()
        made: T = self._cache[key]
        return made

    @property
    def images(self) -> list[Pixels]:
        """Read-only RGB views `(height, width, 3)`."""
        return [image[..., :3] for image in self._padded]

    @property
    def padded(self) -> list[Pixels]:
        """Read-only pixels as stored, `(height, width, 4)`, the fourth byte unused."""
        return self._padded

    @cached_property
    def pillow(self) -> list[Image.Image]:
        """Pillow images that share the memory of the pixels."""
        return [_to_pillow(image) for image in self._padded]

    @cached_property
    def grey(self) -> list[Pixels]:
        """Luma `(height, width)` by ITU-R 601, as in Pillow's mode L."""
        return [np.asarray(image.convert("L")) for image in self.pillow]

    @cached_property
    def colour_counts(self) -> NDArray[np.float32]:
        """Pixels per colour `(n, 32, 32, 32)`, with 32 levels of red, green and blue.

        OpenCV packs the levels of a pixel, and a bit of the unused byte, into 16 bits. Counting these takes two thirds
        of the time of a histogram over three channels (2026-12).
        """
        import cv2

        counts = np.empty((len(self), 32**3), np.float32)
        for i, image in enumerate(self._padded):
            packed = cv2.cvtColor(image, cv2.COLOR_RGBA2BGR555).view(np.uint16)
            counts[i] = np.bincount(packed.ravel(), minlength=2 * 32**3).reshape(2, -1).sum(axis=0)
        return counts.reshape(-1, 32, 32, 32)

    def resized(self, width: int, height: int) -> Pixels:
        """Resize all images to `(n, height, width, 3)` by area averaging; cached per size."""
        return self.cached((width, height), lambda: self._resize(width, height))

    def _resize(self, width: int, height: int) -> Pixels:
        import cv2

        out = np.empty((len(self), height, width, 3), np.uint8)
        for i, image in enumerate(self._padded):
            _copy_rgb(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), out[i])
        return out

    def prepared(self, preprocess: Preprocess) -> Pixels:
        """Resize and centre-crop all images for a model: `(n, crop, crop, 3)`; cached.

        Sizes and offsets are rounded as in torchvision's Resize and CenterCrop.
        """
        return self.cached(preprocess, lambda: self._prepare(preprocess))

    def _prepare(self, preprocess: Preprocess) -> Pixels:
        """Resize only the part inside the crop, 1.7 times faster than cropping last."""
        crop = preprocess.crop
        out = np.empty((len(self), crop, crop, 3), np.uint8)
        for i, image in enumerate(self._padded):
            box = _crop_box(preprocess, (image.shape[1], image.shape[0]))
            if preprocess.interpolation == MIPMAP:
                _copy_rgb(_resize_mipmap(image, crop, box), out[i])
            else:
                _copy_rgb(self.pillow[i].resize((crop, crop), _RESAMPLING[preprocess.interpolation], box=box), out[i])
        return out


Box = tuple[float, float, float, float]
"""Left, top, right and bottom edge, in pixels."""


def _crop_box(preprocess: Preprocess, size: tuple[int, int]) -> Box:
    """Return the part of an image of a size (width, height) that is left after resizing and cropping."""
    resized = [preprocess.resize] * 2
    if preprocess.fit == "shortest":
        resized = [preprocess.resize * length // min(size) for length in size]
    first = [round((length - preprocess.crop) / 2) for length in resized]
    scale = [length / small for length, small in zip(size, resized, strict=True)]
    left, top = (f * s for f, s in zip(first, scale, strict=True))
    right, bottom = ((f + preprocess.crop) * s for f, s in zip(first, scale, strict=True))
    return left, top, right, bottom


def _resize_mipmap(image: Pixels, side: int, box: Box) -> NDArray[Any]:
    """Resize the box of an image `(height, width, 4)` to a square; see `Preprocess.interpolation`."""
    import cv2

    left, top, right, bottom = map(round, box)
    part: NDArray[Any] = image[top:bottom, left:right]
    whole = min(part.shape[:2]) // side
    if whole > 1:
        height, width = (length // whole for length in part.shape[:2])
        blocks = part[: height * whole, : width * whole]
        part = cv2.resize(blocks, (width, height), interpolation=cv2.INTER_AREA)
    return cv2.resize(part, (side, side), interpolation=cv2.INTER_LINEAR)


def _pad(image: Pixels) -> Pixels:
    padded = np.full((*image.shape[:2], 4), 255, np.uint8)
    padded[..., :3] = image
    return padded


def _copy_rgb(padded: Image.Image | NDArray[Any], out: Pixels) -> None:
    """Copy `(h, w, 4)` to `(h, w, 3)`, 9 times as fast as numpy slicing."""
    import cv2

    cv2.cvtColor(np.asarray(padded), cv2.COLOR_RGBA2RGB, dst=out)


def _to_pillow(pixels: Pixels) -> Image.Image:
    height, width = pixels.shape[:2]
    return Image.frombuffer("RGBX", (width, height), np.ascontiguousarray(pixels), "raw", "RGBX", 0, 1)
