"""Decoding of image files to upright RGB pixels.

libjpeg-turbo decodes JPEG: it rejects damaged files and can shrink while decoding. Pillow decodes all other formats,
and JPEG variants that libjpeg-turbo lacks (CMYK). Pixels have the shape `(height, width, 4)` with an unused fourth
byte. Pillow stores RGB that way, so Pillow, numpy and OpenCV share the same memory without a copy.
"""

from __future__ import annotations

import io
import os
import re
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from imrec_core.errors import ImageError, ImageTooLarge, StorageFault, TruncatedImage, UnreadableImage
from imrec_core.errors import UnsupportedFormat as Unsupported
from imrec_core.images import exif
from imrec_core.lake.storage import files
from imrec_core.lake.storage.files import AnyPath

Pixels = NDArray[np.uint8]

MAX_PIXELS = 200_000_000
WELL_KNOWN = (
    "JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM", "TGA", "ICO", "HEIF",
)  # fmt: skip
"""Formats that are safe for untrusted input. Pillow reads more, but EPS for example starts Ghostscript."""

_LARGE = 32_000_000  # pixels; larger images are decoded one at a time and shrunk before conversion
_large_image_lock = threading.Lock()

try:
    import pillow_heif  # type: ignore[import-not-found, unused-ignore]
except ImportError:
    pass
else:
    pillow_heif.register_heif_opener()


@dataclass(frozen=True)
class DecodedImage:
    """A decoded image.

    Attributes:
        pixels: `(h, w, 4)` uint8: red, green, blue, unused. Upright, and possibly smaller than the image in the file.
        format: Pillow's name of the format.
        width, height: Size of the upright image in the file.
        shot: EXIF data, with the orientation as stored.
        has_alpha: Whether pixels may be transparent: an alpha channel, or a colour that marks transparency.
    """

    pixels: Pixels
    format: str
    width: int
    height: int
    shot: exif.ExifData = exif.UNKNOWN
    has_alpha: bool = False

    @property
    def orientation(self) -> int:
        """EXIF orientation as stored; 1 without the tag."""
        return self.shot.orientation


def decode(
    data: bytes,
    *,
    max_pixels: int = MAX_PIXELS,
    min_side: int | None = None,
    formats: Sequence[str] | None = None,
) -> DecodedImage:
    """Decode the first frame of an image file to upright RGB.

    Transparent pixels are blended over white.

    Args:
        data: Content of the whole file.
        max_pixels: Limit on the pixels that the header declares, checked before decoding.
        min_side: Pixels that the shorter side needs. Larger images may be shrunk while decoding, but not below that.
            None: full size.
        formats: Accepted formats, by Pillow's names; None for all.

    Raises:
        ImageTooLarge, TruncatedImage, UnreadableImage, UnsupportedFormat: The image cannot be decoded.
    """
    if not data:
        raise UnreadableImage("the file is empty")
    if data[:3] == b"\xff\xd8\xff":
        decoded = _decode_jpeg(data, max_pixels, min_side)
        if decoded is not None:
            return decoded
    return _decode_with_pillow(data, max_pixels, min_side, formats)


def decode_file(
    path: str | os.PathLike[str] | AnyPath, *, max_pixels: int = MAX_PIXELS, min_side: int | None = None
) -> DecodedImage:
    """Read and decode an image file; errors name the file.

    Raises:
        ImageTooLarge, TruncatedImage, UnreadableImage, UnsupportedFormat: The image cannot be read or decoded.
        TypeError: `path` is not a path.
    """
    try:
        return decode(files.read_bytes(files.place(path)), max_pixels=max_pixels, min_side=min_side)
    except StorageFault as error:
        raise UnreadableImage(str(error)) from error
    except OSError as error:
        raise UnreadableImage(f"{path}: {error.strerror or error}") from error
    except ValueError as error:  # a NUL in the name
        raise UnreadableImage(f"{str(path)!r}: {error}") from error
    except ImageError as error:
        raise type(error)(f"{path}: {error}") from error


def from_pillow(image: Image.Image) -> Pixels:
    """Convert any Pillow image to upright pixels `(h, w, 4)`."""
    return _apply_orientation(_to_padded(image), exif.of_image(image).orientation)


# -- JPEG ---------------------------------------------------------------------------------------------------


def _decode_jpeg(data: bytes, max_pixels: int, min_side: int | None) -> DecodedImage | None:
    """Decode with libjpeg-turbo; return None if Pillow has to try."""
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return None
    _check_size(width, height, max_pixels)
    if colours in ("CMYK", "YCCK"):
        return None
    scaling = {} if min_side is None else {"min_height": min_side, "min_width": min_side, "min_factor": 2}
    try:
        with _limit_large_images(width * height):
            pixels = simplejpeg.decode_jpeg(data, "RGBX", strict=True, **scaling)
    except ValueError as error:
        if _is_harmless(str(error)):
            return None
        raise TruncatedImage(f"damaged JPEG: {error}") from error
    shot = exif.of_jpeg(data)
    if shot.orientation >= 5:
        width, height = height, width
    return DecodedImage(_apply_orientation(pixels, shot.orientation), "JPEG", width, height, shot)


def _is_harmless(message: str) -> bool:
    """Return whether libjpeg reports a problem without damaged pixels."""
    harmless = ("extraneous bytes", "Unsupported", "unsupported", "Unknown Adobe", "Invalid SOS", "thumbnail")
    return any(words in message for words in harmless)


# -- everything else ----------------------------------------------------------------------------------------


def _decode_with_pillow(
    data: bytes, max_pixels: int, min_side: int | None, formats: Sequence[str] | None
) -> DecodedImage:
    # Pillow's own limit, one per process, covers images inside others (icons), whose size is known late. It is
    # only raised: a lower limit would reject images that another thread, or other code that uses Pillow, may open.
    if Image.MAX_IMAGE_PIXELS is not None:
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, max_pixels)
    try:
        with Image.open(io.BytesIO(data), formats=_available(formats)) as image:
            _check_size(*image.size, max_pixels)
            with _limit_large_images(image.width * image.height):
                stored = exif.of_image(image) if image.format == "TIFF" else None  # Pillow rotates TIFF on load
                image.load()  # before other tags are read: that would load too, and hide the error
                _check_size(*image.size, max_pixels)
                remaining = exif.of_image(image)
                width, height = image.size
                has_alpha = image.has_transparency_data
                pixels = _apply_orientation(_to_padded(_reduce_large(image, min_side)), remaining.orientation)
    except ImageError:
        raise
    except Exception as error:  # Pillow's plugins raise errors of any class for damaged data
        raise _to_image_error(error, max_pixels) from error
    if remaining.orientation >= 5:
        width, height = height, width
    return DecodedImage(pixels, image.format or "unknown", width, height, stored or remaining, has_alpha)


def _available(formats: Sequence[str] | None) -> list[str] | None:
    """Select the formats that the installed Pillow has, as it warns of others."""
    if formats is None:
        return None
    Image.init()
    return [name for name in formats if name in Image.OPEN]


def _to_image_error(error: Exception, max_pixels: int) -> ImageError:
    text = str(error) or type(error).__name__
    if isinstance(error, UnidentifiedImageError):
        return UnreadableImage("not an image, or an unknown format")
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        found = re.search(r"(\d+) pixels", text)
        return _too_large("the image", int(found[1]), max_pixels) if found else ImageTooLarge(text)
    if isinstance(error, NotImplementedError) or "nsupported" in text:
        return Unsupported(text)
    if isinstance(error, MemoryError):
        return UnreadableImage("not enough memory to decode the image")
    return TruncatedImage(f"damaged: {text}")  # the format was recognised, so the data is bad


def _reduce_large(image: Image.Image, min_side: int | None) -> Image.Image:
    """Shrink a large image, so that its conversion makes no copy of full size."""
    if min_side is None or image.width * image.height <= _LARGE:
        return image
    factor = min(image.size) // (2 * min_side)
    if factor < 2:
        return image
    if image.mode.startswith("I;16"):  # Pillow cannot reduce this mode
        image = Image.fromarray(_to_8_bit(np.asarray(image)))
    if image.mode in ("P", "PA", "1"):  # palette indices have no average
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
    """Convert grey of more than 8 bits to 8 bits.

    16-bit values keep their high byte; other ranges are scaled from minimum to maximum.
    """
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
        raise UnreadableImage(f"the header declares a size of {width}×{height}; expected at least 1×1")
    if width * height > max_pixels:
        raise _too_large(f"{width}×{height}", width * height, max_pixels)


def _too_large(subject: str, pixels: int, max_pixels: int) -> ImageTooLarge:
    found, limit = (f"{round(n / 1e6, 2):g}" for n in (pixels, max_pixels))
    return ImageTooLarge(f"{subject} is {found} megapixels, the limit is {limit} (max_pixels in lake.toml)")


def _apply_orientation(pixels: Pixels, orientation: int) -> Pixels:
    """Turn pixels upright by their EXIF orientation (tag 0x0112, TIFF 6.0)."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _limit_large_images(pixels: int) -> AbstractContextManager[object]:
    """Return the lock that lets threads decode only one large image at a time."""
    return _large_image_lock if pixels > _LARGE else nullcontext()
