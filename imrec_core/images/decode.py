"""Decoding of image files to upright sRGB pixels.

libjpeg-turbo decodes JPEG: it rejects damaged files and can shrink while decoding. LibRaw decodes camera RAW files, and
Pillow all other formats and the JPEG variants that libjpeg-turbo lacks (CMYK). Pixels have the shape
`(height, width, 4)` with an unused fourth byte. Pillow stores RGB that way, so Pillow, numpy and OpenCV share the same
memory without a copy.

Files whose pixels are all there are decoded although something else is damaged: an end marker that is missing, a
comment, a colour profile. Files that lost pixels are refused, unless the caller accepts what is left.
"""

from __future__ import annotations

import io
import os
import re
import threading
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import TypedDict

import simplejpeg
from PIL import Image, UnidentifiedImageError

from imrec_core.errors import ImageError, ImageTooLarge, StorageFault, TruncatedImage, UnreadableImage
from imrec_core.errors import UnsupportedFormat as Unsupported
from imrec_core.images import exif, jxl_header, plugins, raw_files
from imrec_core.images.color_profile import ColorProfile
from imrec_core.images.file_facts import bit_depth, frame_count, refuse_misread_layout
from imrec_core.images.jpeg_segments import JPEG_START, JpegSegments, read_segments
from imrec_core.images.plugins import missing_plugin
from imrec_core.images.repair import lacks_end, repaired
from imrec_core.images.rgb import LARGE, Pixels, apply_orientation, convert_profile, range_of_values, to_pixels
from imrec_core.lake.storage import files
from imrec_core.lake.storage.files import AnyPath

MAX_PIXELS = 200_000_000

MAX_BYTES = 2**31
"""Largest image file that is read: 200 megapixels of four 16-bit channels, uncompressed, have 1.6 GB."""

FORMATS = (
    "JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM", "TGA", "ICO", "HEIF", "JXL",
)  # fmt: skip
"""Formats that Pillow decodes, beside those of `raw_files`. It reads more, but EPS for example starts Ghostscript."""

_large_image_lock = threading.Lock()

plugins.register()


@dataclass(frozen=True)
class DecodedImage:
    """A decoded image.

    Attributes:
        pixels: `(h, w, 4)` uint8: red, green, blue in sRGB, unused. Upright, and possibly smaller than the image in the
            file.
        format: Pillow's name of the format.
        width, height: Size of the upright image in the file.
        shot: EXIF data, with the orientation as stored.
        has_alpha: Whether pixels may be transparent: an alpha channel, or a colour that marks transparency.
        frames: Number of pages, frames of an animation, or images in the file.
        color_profile: Description of the embedded profile, `color_profile.DAMAGED` if it cannot be used; None without.
        bit_depth: Bits per channel in the file.
        is_damaged: Whether a part of the file is damaged or missing.
        value_range: Values of black and white in grey of more than 8 bits; None for other images.
    """

    pixels: Pixels
    format: str
    width: int
    height: int
    shot: exif.ExifData = exif.UNKNOWN
    has_alpha: bool = False
    frames: int = 1
    color_profile: str | None = None
    bit_depth: int = 8
    is_damaged: bool = False
    value_range: tuple[float, float] | None = None

    @property
    def orientation(self) -> int:
        """EXIF orientation as stored; 1 without the tag."""
        return self.shot.orientation


class _ProfileFacts(TypedDict):
    color_profile: str | None
    is_damaged: bool


@dataclass(frozen=True)
class _Options:
    max_pixels: int
    min_side: int | None
    allow_truncated: bool


def decode(
    data: bytes, *, max_pixels: int = MAX_PIXELS, min_side: int | None = None, allow_truncated: bool = False
) -> DecodedImage:
    """Decode the first frame of an image file to upright sRGB.

    Transparent pixels are blended over white.

    Args:
        data: Content of the whole file, in one of `FORMATS`.
        max_pixels: Limit on the pixels that the header declares, checked before decoding.
        min_side: Pixels that the shorter side needs. Larger images may be shrunk while decoding, but not below that.
            None: full size.
        allow_truncated: Whether to decode what is left of a file with missing or damaged pixels.

    Raises:
        ImageTooLarge, TruncatedImage, UnreadableImage, UnsupportedFormat: The image cannot be decoded.
    """
    if not data:
        raise UnreadableImage("the file is empty")
    options = _Options(max_pixels, min_side, allow_truncated=False)
    try:
        return _decode(data, options)
    except (TruncatedImage, UnreadableImage):
        whole = repaired(data)
        if whole is None and not allow_truncated:
            raise
        options = replace(options, allow_truncated=allow_truncated)
        return replace(_decode(data if whole is None else whole, options), is_damaged=True)


def decode_file(
    path: str | os.PathLike[str] | AnyPath,
    *,
    max_pixels: int = MAX_PIXELS,
    min_side: int | None = None,
    allow_truncated: bool = False,
) -> DecodedImage:
    """Read and decode an image file; errors name the file.

    Raises:
        ImageTooLarge, TruncatedImage, UnreadableImage, UnsupportedFormat: The image cannot be read or decoded.
        TypeError: `path` is not a path.
    """
    data = read_file(path)
    try:
        return decode(data, max_pixels=max_pixels, min_side=min_side, allow_truncated=allow_truncated)
    except ImageError as error:
        raise type(error)(f"{path}: {error}") from error


def read_file(path: str | os.PathLike[str] | AnyPath) -> bytes:
    """Read the bytes of an image file.

    Raises:
        UnreadableImage: The file cannot be read.
        TypeError: `path` is not a path.
    """
    try:
        return files.read_bytes(files.place(path), at_most=MAX_BYTES)
    except StorageFault as error:
        raise UnreadableImage(str(error)) from error
    except OSError as error:
        raise UnreadableImage(f"{path}: {error.strerror or error}") from error
    except ValueError as error:  # a NUL in the name
        raise UnreadableImage(f"{str(path)!r}: {error}") from error


def _decode(data: bytes, options: _Options) -> DecodedImage:
    if data.startswith(JPEG_START):
        segments = read_segments(data)
        decoded = _decode_jpeg(data, segments, options)
        return decoded or replace(_decode_with_pillow(data, options), frames=segments.frames)
    return _decode_raw(data, options) if raw_files.is_raw(data) else _decode_with_pillow(data, options)


# -- JPEG ---------------------------------------------------------------------------------------------------


def _decode_jpeg(data: bytes, segments: JpegSegments, options: _Options) -> DecodedImage | None:
    """Decode with libjpeg-turbo; return None if Pillow has to try."""
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return None
    _check_size(width, height, options.max_pixels)
    is_cmyk = colours in ("CMYK", "YCCK")
    side = 1 if is_cmyk else options.min_side  # Pillow decodes CMYK, but fills up what is missing: look for it first
    scaling = {} if side is None else {"min_height": side, "min_width": side, "min_factor": 2}
    kind = "GRAY" if is_cmyk else "RGBX"
    try:
        with _limit_large_images(width * height):
            pixels = simplejpeg.decode_jpeg(data, kind, strict=not options.allow_truncated, **scaling)
    except ValueError as error:
        if _is_harmless(str(error)):
            return None
        raise TruncatedImage(f"damaged JPEG: {error}") from error
    if is_cmyk:
        return None
    profile = None
    if segments.icc_profile:
        pixels, profile = convert_profile(pixels, segments.icc_profile, is_grey=colours == "Gray")
    shot = exif.of_jpeg(segments)
    if shot.orientation >= 5:
        width, height = height, width
    upright = apply_orientation(pixels, shot.orientation)
    return DecodedImage(upright, "JPEG", width, height, shot, frames=segments.frames, **_profile_facts(profile))


def _is_harmless(message: str) -> bool:
    """Return whether libjpeg reports a problem without damaged pixels."""
    harmless = ("extraneous bytes", "Unsupported", "unsupported", "Unknown Adobe", "Invalid SOS", "thumbnail")
    return any(words in message for words in harmless)


def _profile_facts(profile: ColorProfile | None) -> _ProfileFacts:
    if profile is None:
        return {"color_profile": None, "is_damaged": False}
    return {"color_profile": profile.name, "is_damaged": profile.is_damaged}


# -- camera RAW files ---------------------------------------------------------------------------------------


def _decode_raw(data: bytes, options: _Options) -> DecodedImage:
    """Decode the embedded JPEG of a RAW file, or develop the file if there is none that is large enough."""
    with raw_files.open_raw(data) as raw:
        width, height = raw_files.upright_size(raw)
        _check_size(width, height, options.max_pixels)
        side = min(width, height) // 2
        needed = side if options.min_side is None else min(options.min_side, side)
        jpeg = raw_files.embedded_jpeg(raw, needed)
        depth, orientation = raw_files.stored_bit_depth(raw), raw_files.stored_orientation(raw)
        preview = _decode_jpeg(jpeg, read_segments(jpeg), options) if jpeg else None
        if preview is None:
            with _limit_large_images(width * height):
                pixels = raw_files.develop(raw, half_size=options.min_side is not None and options.min_side <= side)
    if preview is not None:
        is_upright = (preview.width > preview.height) == (width > height)
        pixels = preview.pixels if is_upright else apply_orientation(preview.pixels, orientation)
    shot = exif.of_block(data)
    if shot == exif.UNKNOWN and preview is not None:
        shot = preview.shot
    shot = replace(shot, orientation=orientation)
    return DecodedImage(pixels, raw_files.FORMAT, width, height, shot, bit_depth=depth)


# -- everything else ----------------------------------------------------------------------------------------


def _decode_with_pillow(data: bytes, options: _Options) -> DecodedImage:
    # Pillow's own limit, one per process, covers images inside others (icons), whose size is known late. It is
    # only raised: a lower limit would reject images that another thread, or other code that uses Pillow, may open.
    if Image.MAX_IMAGE_PIXELS is not None:
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, options.max_pixels)
    try:
        if jxl_header.is_jxl(data):
            _check_size(*jxl_header.read_size(data), options.max_pixels)
        with Image.open(io.BytesIO(data), formats=available_formats()) as image:
            _check_size(*image.size, options.max_pixels)
            with _limit_large_images(image.width * image.height):
                return _convert(image, data, options)
    except ImageError:
        raise
    except Exception as error:  # Pillow's plugins raise errors of any class for damaged data
        raise _to_image_error(error, data, options.max_pixels) from error


def _convert(image: Image.Image, data: bytes, options: _Options) -> DecodedImage:
    """Load an opened image, and convert its first frame."""
    refuse_misread_layout(image)
    frames, depth = frame_count(image), bit_depth(image, data)
    stored = exif.of_image(image) if image.format == "TIFF" else None  # Pillow rotates TIFF on load
    is_cut = _load(image, options)  # before other tags are read: that would load too, and hide the error
    _check_size(*image.size, options.max_pixels)
    remaining = exif.of_image(image)
    width, height = image.size if remaining.orientation < 5 else image.size[::-1]
    has_alpha = image.has_transparency_data
    values = range_of_values(image)
    pixels, profile = to_pixels(image, options.min_side)
    facts = _profile_facts(profile)
    facts["is_damaged"] |= is_cut or lacks_end(data)
    return DecodedImage(
        apply_orientation(pixels, remaining.orientation),
        image.format or "unknown",
        width,
        height,
        stored or remaining,
        has_alpha,
        frames,
        bit_depth=depth,
        value_range=values,
        **facts,
    )


def _load(image: Image.Image, options: _Options) -> bool:
    """Load an image; return whether pixels are missing, which only `allow_truncated` permits."""
    try:
        image.load()
    except Exception:
        if not options.allow_truncated or getattr(image, "_im", None) is None:
            raise
        image.tile = []  # type: ignore[attr-defined]  # nothing is left to load: the rows read so far stay
        return True
    return False


def available_formats() -> list[str]:
    """List the formats of `FORMATS` that the installed Pillow has, as it warns of others."""
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def _to_image_error(error: Exception, data: bytes, max_pixels: int) -> ImageError:
    text = str(error) or type(error).__name__
    if isinstance(error, UnidentifiedImageError):
        return missing_plugin(data) or UnreadableImage("not an image, or an unknown format")
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        found = re.search(r"(\d+) pixels", text)
        return _too_large("the image", int(found[1]), max_pixels) if found else ImageTooLarge(text)
    if isinstance(error, NotImplementedError) or "nsupported" in text:
        return Unsupported(text)
    if isinstance(error, MemoryError):
        return UnreadableImage("not enough memory to decode the image")
    if jxl_header.is_jxl(data):
        return TruncatedImage("damaged JPEG XL data")  # libjxl says no more
    return TruncatedImage(f"damaged: {text}")  # the format was recognised, so the data is bad


# -- shared -------------------------------------------------------------------------------------------------


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width < 1 or height < 1:
        raise UnreadableImage(f"the header declares a size of {width}×{height}; expected at least 1×1")
    if width * height > max_pixels:
        raise _too_large(f"{width}×{height}", width * height, max_pixels)


def _too_large(subject: str, pixels: int, max_pixels: int) -> ImageTooLarge:
    found, limit = (f"{round(n / 1e6, 2):g}" for n in (pixels, max_pixels))
    return ImageTooLarge(f"{subject} is {found} megapixels, the limit is {limit} (max_pixels in lake.toml)")


def _limit_large_images(pixels: int) -> AbstractContextManager[object]:
    """Return the lock that lets threads decode only one large image at a time."""
    return _large_image_lock if pixels > LARGE else nullcontext()
