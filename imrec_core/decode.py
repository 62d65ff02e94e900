"""The bytes of a file → an upright RGB picture; pictures → the batch that every feature works on.

JPEG goes through libjpeg-turbo, which refuses damage and can shrink while it decodes; all other formats, and
JPEGs of a kind that it does not know (CMYK), through Pillow. Pixels are held as `(height, width, 4)` with an
unused fourth byte: Pillow keeps RGB that way, so the same memory serves Pillow, numpy and OpenCV without a copy.
"""

from __future__ import annotations

import io
import os
import re
import threading
from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from imrec_core import exif, storage
from imrec_core.errors import DeclarationError, ImageError, ImageTooLarge, StorageFault, TruncatedImage, UnreadableImage
from imrec_core.errors import UnsupportedFormat as Unsupported
from imrec_core.storage import AnyPath

if TYPE_CHECKING:
    from imrec_core.models import Preprocess

Pixels = NDArray[np.uint8]
T = TypeVar("T")

MAX_PIXELS = 200_000_000
WELL_KNOWN = (
    "JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM", "TGA", "ICO", "HEIF",
)  # fmt: skip
"""Formats for pictures of strangers: of Pillow's others EPS starts Ghostscript."""

_GIANT = 32_000_000  # pixels; pictures above are decoded one at a time, and shrunk before they are converted
_RESAMPLING = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}  # both antialiased
_one_giant = threading.Lock()

try:
    import pillow_heif  # type: ignore[import-not-found, unused-ignore]
except ImportError:
    pass
else:
    pillow_heif.register_heif_opener()


@dataclass(frozen=True)
class Picture:
    """One decoded picture.

    Attributes:
        pixels: `(h, w, 4)` uint8: red, green, blue, unused; upright; maybe smaller than the file's picture.
        format: As Pillow names it.
        width, height: Upright, at full size.
        shot: What EXIF says; the orientation as found.
        has_alpha: Whether parts may be clear: the file has an alpha channel, or a colour that stands for clear.
    """

    pixels: Pixels
    format: str
    width: int
    height: int
    shot: exif.Shot = exif.UNKNOWN
    has_alpha: bool = False

    @property
    def orientation(self) -> int:
        """The EXIF tag as found, 1 where there is none."""
        return self.shot.orientation


class ImageBatch:
    """Pictures in memory together, and what features share about them.

    Args:
        images: RGB `uint8` arrays `(height, width, 3)`, upright; sizes may differ.
    """

    def __init__(self, images: Sequence[Pixels]) -> None:
        for image in images:
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (3, 4) or image.size == 0:
                raise DeclarationError(
                    f"an image is {image.dtype} {image.shape}; expected uint8 (height, width, 3), RGB, not empty"
                )
        self._padded = [image if image.shape[2] == 4 else _pad(image) for image in images]
        self._cache: dict[Hashable, Any] = {}

    def __len__(self) -> int:
        return len(self._padded)

    def cached(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` returned for this key before, or now: work that several features share."""
        if key not in self._cache:
            self._cache[key] = make()
        made: T = self._cache[key]
        return made

    @property
    def images(self) -> list[Pixels]:
        """RGB views `(height, width, 3)`; not to be written to."""
        return [image[..., :3] for image in self._padded]

    @property
    def padded(self) -> list[Pixels]:
        """The pictures as they are held, `(height, width, 4)`, the fourth byte unused; not to be written to."""
        return self._padded

    @cached_property
    def pillow(self) -> list[Image.Image]:
        """The same pictures as Pillow images, sharing their memory."""
        return [_as_pillow(image) for image in self._padded]

    @cached_property
    def grey(self) -> list[Pixels]:
        """Luma `(height, width)` by ITU-R 601, as Pillow's mode L has it."""
        return [np.asarray(image.convert("L")) for image in self.pillow]

    @cached_property
    def colour_counts(self) -> NDArray[np.float32]:
        """Pixels per colour `(n, 32, 32, 32)`: red, green and blue in 32 levels each, over all pixels."""
        import cv2

        counts = np.empty((len(self), 32, 32, 32), np.float32)
        for i, image in enumerate(self._padded):
            counts[i] = cv2.calcHist([image], [0, 1, 2], None, [32] * 3, [0, 256] * 3)
        return counts

    def resized(self, width: int, height: int) -> Pixels:
        """All pictures at one size `(n, height, width, 3)`, by area averaging; computed once per size."""
        return self.cached((width, height), lambda: self._resize(width, height))

    def _resize(self, width: int, height: int) -> Pixels:
        import cv2

        out = np.empty((len(self), height, width, 3), np.uint8)
        for i, image in enumerate(self._padded):
            _drop_fourth(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), out[i])
        return out

    def prepared(self, preprocess: Preprocess) -> Pixels:
        """Centre crops for a network `(n, crop, crop, 3)`: resized as it wants, centre cut out.

        Sizes and offsets are rounded as torchvision's Resize and CenterCrop round them.
        """
        return self.cached(preprocess, lambda: self._prepare(preprocess))

    def _prepare(self, preprocess: Preprocess) -> Pixels:
        """Pillow resizes only the part that the crop keeps: 1.7 times faster than resizing, then cropping."""
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
            _drop_fourth(image.resize((crop, crop), resampling, box=box), out[i])
        return out


def decode(
    data: bytes,
    *,
    max_pixels: int = MAX_PIXELS,
    min_side: int | None = None,
    formats: Sequence[str] | None = None,
) -> Picture:
    """Decode the bytes of an image file: upright, RGB, clear parts over white, first frame.

    Args:
        data: The whole file.
        max_pixels: Pictures whose header promises more are refused before they are decoded.
        min_side: The shorter side that is needed, in pixels; larger pictures may come back smaller, but not below
            it. None: full size.
        formats: Those that are decoded, as Pillow names them; None for all.

    Raises:
        ImageTooLarge, TruncatedImage, UnreadableImage, UnsupportedFormat: The picture cannot be had.
    """
    if not data:
        raise UnreadableImage("the file is empty")
    if data[:3] == b"\xff\xd8\xff":
        picture = _decode_jpeg(data, max_pixels, min_side)
        if picture is not None:
            return picture
    return _decode_with_pillow(data, max_pixels, min_side, formats)


def decode_file(
    path: str | os.PathLike[str] | AnyPath, *, max_pixels: int = MAX_PIXELS, min_side: int | None = None
) -> Picture:
    """Decode an image file as `decode` does its bytes; errors name the file.

    Raises:
        ImageTooLarge, TruncatedImage, UnreadableImage, UnsupportedFormat: The picture cannot be had.
        TypeError: `path` is no path.
    """
    try:
        return decode(storage.read_bytes(storage.place(path)), max_pixels=max_pixels, min_side=min_side)
    except StorageFault as error:
        raise UnreadableImage(str(error)) from error
    except OSError as error:
        raise UnreadableImage(f"{path}: {error.strerror or error}") from error
    except ValueError as error:  # a NUL in the name
        raise UnreadableImage(f"{str(path)!r}: {error}") from error
    except ImageError as error:
        raise type(error)(f"{path}: {error}") from error


def from_pillow(image: Image.Image) -> Pixels:
    """An upright `(h, w, 4)` picture from any Pillow image."""
    return _turned(_to_padded(image), exif.of_image(image).orientation)


# -- JPEG ---------------------------------------------------------------------------------------------------


def _decode_jpeg(data: bytes, max_pixels: int, min_side: int | None) -> Picture | None:
    """The picture, or None where Pillow must decide."""
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return None
    _check_size(width, height, max_pixels)
    if colours in ("CMYK", "YCCK"):
        return None
    scaling = {} if min_side is None else {"min_height": min_side, "min_width": min_side, "min_factor": 2}
    try:
        with _giants_in_turn(width * height):
            pixels = simplejpeg.decode_jpeg(data, "RGBX", strict=True, **scaling)
    except ValueError as error:
        if _is_harmless(str(error)):
            return None
        raise TruncatedImage(f"damaged JPEG: {error}") from error
    shot = exif.of_jpeg(data)
    if shot.orientation >= 5:
        width, height = height, width
    return Picture(_turned(pixels, shot.orientation), "JPEG", width, height, shot)


def _is_harmless(complaint: str) -> bool:
    """Whether libjpeg complains of what does not touch the pixels, or of a kind of JPEG that it lacks."""
    harmless = ("extraneous bytes", "Unsupported", "unsupported", "Unknown Adobe", "Invalid SOS", "thumbnail")
    return any(words in complaint for words in harmless)


# -- everything else ----------------------------------------------------------------------------------------


def _decode_with_pillow(data: bytes, max_pixels: int, min_side: int | None, formats: Sequence[str] | None) -> Picture:
    # Pillow's own limit, one for the process, is for pictures inside others (icons), whose size shows up late. It is
    # never lowered: that would refuse what another thread, or whoever else uses Pillow here, may open.
    if Image.MAX_IMAGE_PIXELS is not None:
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, max_pixels)
    try:
        with Image.open(io.BytesIO(data), formats=_there(formats)) as image:
            _check_size(*image.size, max_pixels)
            with _giants_in_turn(image.width * image.height):
                stored = exif.of_image(image) if image.format == "TIFF" else None  # which Pillow turns as it loads
                image.load()  # before any look at other tags: that would load too, and swallow the complaint
                _check_size(*image.size, max_pixels)
                to_do = exif.of_image(image)
                width, height = image.size
                has_alpha = image.has_transparency_data
                pixels = _turned(_to_padded(_shrunk(image, min_side)), to_do.orientation)
    except ImageError:
        raise
    except Exception as error:  # Pillow's plugins raise whatever the damage makes them
        raise _translated(error, max_pixels) from error
    if to_do.orientation >= 5:
        width, height = height, width
    return Picture(pixels, image.format or "unknown", width, height, stored or to_do, has_alpha)


def _there(formats: Sequence[str] | None) -> list[str] | None:
    """Those of the formats that this Pillow has; it warns of others."""
    if formats is None:
        return None
    Image.init()
    return [name for name in formats if name in Image.OPEN]


def _translated(error: Exception, max_pixels: int) -> ImageError:
    text = str(error) or type(error).__name__
    if isinstance(error, UnidentifiedImageError):
        return UnreadableImage("not a picture, or of a format that is not known")
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        found = re.search(r"(\d+) pixels", text)
        return _too_large("the picture", int(found[1]), max_pixels) if found else ImageTooLarge(text)
    if isinstance(error, NotImplementedError) or "nsupported" in text:
        return Unsupported(text)
    if isinstance(error, MemoryError):
        return UnreadableImage("not enough memory to decode it")
    return TruncatedImage(f"damaged: {text}")  # the format was recognised, then the data did not hold


def _shrunk(image: Image.Image, min_side: int | None) -> Image.Image:
    """A giant made smaller before it is converted, so that no second copy of full size is ever held."""
    if min_side is None or image.width * image.height <= _GIANT:
        return image
    factor = min(image.size) // (2 * min_side)
    if factor < 2:
        return image
    if image.mode.startswith("I;16"):  # which Pillow cannot reduce
        image = Image.fromarray(_to_8_bit(np.asarray(image)))
    if image.mode in ("P", "PA", "1"):  # palette numbers cannot be averaged
        return image.resize((image.width // factor, image.height // factor), Image.Resampling.NEAREST)
    return image.reduce(factor)


def _to_padded(image: Image.Image) -> Pixels:
    if image.mode in ("I;16", "I;16B", "I;16L", "I;16N", "I", "F"):
        image = Image.fromarray(_to_8_bit(np.asarray(image)))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, (255, 255, 255))
        white.paste(image, mask=image.getchannel("A"))
        image = white
    if image.mode != "RGB":
        image = image.convert("RGB")
    return np.asarray(image.convert("RGBX"))


def _to_8_bit(values: NDArray[np.generic]) -> Pixels:
    """Grey of more than 8 bits: 16-bit by its high byte; other ranges from least to greatest."""
    if values.dtype.itemsize == 2 or (values.dtype.kind in "iu" and values.min() >= 0 and 255 < values.max() < 65536):
        return np.asarray(values.astype(np.uint16) >> 8, dtype=np.uint8)
    numbers = np.nan_to_num(values.astype(np.float64))
    low, high = min(numbers.min(), 0.0), max(numbers.max(), 1.0)
    if low == 0.0 and 1.0 < high <= 255.0:
        return numbers.astype(np.uint8)
    return np.asarray((numbers - low) / (high - low) * 255, dtype=np.uint8)


# -- shared -------------------------------------------------------------------------------------------------


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width < 1 or height < 1:
        raise UnreadableImage(f"the header says {width}×{height}")
    if width * height > max_pixels:
        raise _too_large(f"{width}×{height}", width * height, max_pixels)


def _too_large(what: str, pixels: int, max_pixels: int) -> ImageTooLarge:
    found, limit = (f"{round(n / 1e6, 2):g}" for n in (pixels, max_pixels))
    return ImageTooLarge(f"{what} is {found} megapixels, the limit is {limit} (max_pixels in lake.toml)")


def _turned(pixels: Pixels, orientation: int) -> Pixels:
    """Upright pixels: undo the EXIF orientation (tag 0x0112, TIFF 6.0)."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _giants_in_turn(pixels: int) -> AbstractContextManager[object]:
    """Held while a giant is decoded, so that threads do not hold several at once."""
    return _one_giant if pixels > _GIANT else nullcontext()


def _pad(image: Pixels) -> Pixels:
    padded = np.full((*image.shape[:2], 4), 255, np.uint8)
    padded[..., :3] = image
    return padded


def _drop_fourth(padded: Image.Image | NDArray[Any], out: Pixels) -> None:
    """Copy `(h, w, 4)` to `(h, w, 3)`; OpenCV takes a ninth of the time of numpy's slicing."""
    import cv2

    cv2.cvtColor(np.asarray(padded), cv2.COLOR_RGBA2RGB, dst=out)


def _as_pillow(pixels: Pixels) -> Image.Image:
    height, width = pixels.shape[:2]
    return Image.frombuffer("RGBX", (width, height), np.ascontiguousarray(pixels), "raw", "RGBX", 0, 1)
