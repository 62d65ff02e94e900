"""ImageBatch: decoded images that several features share, with cached intermediate results such as resized copies."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imrec_core.errors import DeclarationError
from imrec_core.images.preprocess import Preprocess
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
        """Pixels per colour `(n, 32, 32, 32)`, with 32 levels of red, green and blue."""
        import cv2

        counts = np.empty((len(self), 32, 32, 32), np.float32)
        for i, image in enumerate(self._padded):
            counts[i] = cv2.calcHist([image], [0, 1, 2], None, [32] * 3, [0, 256] * 3)
        return counts

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
        resampling = _RESAMPLING[preprocess.interpolation]
        out = np.empty((len(self), crop, crop, 3), np.uint8)
        for i, image in enumerate(self.pillow):
            resized = [preprocess.resize] * 2
            if preprocess.fit == "shortest":
                resized = [preprocess.resize * length // min(image.size) for length in image.size]
            first = [round((length - crop) / 2) for length in resized]
            scale = [length / small for length, small in zip(image.size, resized, strict=True)]
            left, top = (f * s for f, s in zip(first, scale, strict=True))
            right, bottom = ((f + crop) * s for f, s in zip(first, scale, strict=True))
            box = (left, top, right, bottom)
            _copy_rgb(image.resize((crop, crop), resampling, box=box), out[i])
        return out


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
