"""Camera RAW files: recognised by their content, decoded by LibRaw.

LibRaw comes with the optional library rawpy. The embedded JPEG is used where it is large enough: decoding it is cheaper
than developing the file, and it is the camera's own rendering, the one that people know.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import simplejpeg

from imrec_core.catalog.file_kinds import install_hint
from imrec_core.errors import ImageError, MissingPlugin, TruncatedImage, UnreadableImage, UnsupportedFormat
from imrec_core.images.rgb import Pixels

if TYPE_CHECKING:
    import rawpy

FORMAT = "RAW"
"""Name of the format in `DecodedImage`, for the files of all makers."""

_MAGIC = (b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FUJIFILMCCD-RAW", b"FOVb", b"\0MRM")  # ORF, RW2, RAF, X3F, MRW
_MAGIC_AT = ((b"HEAPCCDR", 6), (b"ftypcrx ", 4), (b"CR\x02", 8))  # CRW, CR3, CR2

_SUBFILE_TYPE, _COMPRESSION, _PHOTOMETRIC, _SUB_IFDS, _DNG_VERSION = 254, 259, 262, 330, 50706
_REDUCED = 1
_SENSOR_VALUES = {32803, 34892}  # values of the photometric tag: colour filter array, linear RAW
_MAKERS_COMPRESSIONS = {32767, 32769, 32770, 34713, 65000, 65535}  # Sony, Epson, Samsung, Nikon, Kodak, Pentax

_EXIF_ORIENTATION = {0: 1, 3: 3, 5: 8, 6: 6}  # by LibRaw's `flip`


def is_raw(data: bytes) -> bool:
    """Return whether a file holds the values of a sensor; those based on TIFF by their first directory."""
    if data.startswith(_MAGIC) or any(data.startswith(magic, at) for magic, at in _MAGIC_AT):
        return True
    tags = _first_directory(data)
    return (
        _DNG_VERSION in tags
        or tags.get(_PHOTOMETRIC) in _SENSOR_VALUES
        or tags.get(_COMPRESSION) in _MAKERS_COMPRESSIONS
        or (tags.get(_SUBFILE_TYPE) == _REDUCED and _SUB_IFDS in tags)
    )


def _first_directory(data: bytes) -> dict[int, int]:
    """Read the tags of the first directory of a TIFF file, with the first value of each; empty for another file."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None:
        return {}
    try:
        (at,) = struct.unpack_from(f"{order}I", data, 4)
        (count,) = struct.unpack_from(f"{order}H", data, at)
        entries = struct.iter_unpack(f"{order}HHI4s", data[at + 2 : at + 2 + 12 * count])
        return {
            tag: struct.unpack(f"{order}H2x" if kind == 3 else f"{order}I", value)[0] for tag, kind, _, value in entries
        }
    except struct.error:  # a damaged directory
        return {}


@contextmanager
def open_raw(data: bytes) -> Iterator[rawpy.RawPy]:
    """Open a RAW file.

    Raises:
        MissingPlugin: rawpy is not installed.
        UnsupportedFormat: LibRaw does not know the camera or the format.
        TruncatedImage, UnreadableImage: The file is damaged.
    """
    try:
        import rawpy
    except ImportError:
        raise MissingPlugin(f"camera RAW files need a library; {install_hint('dng')}") from None
    try:
        with rawpy.imread(io.BytesIO(data)) as raw:
            yield raw
    except ImageError:
        raise
    except (rawpy.LibRawFileUnsupportedError, rawpy.NotSupportedError) as error:
        raise UnsupportedFormat(f"LibRaw cannot decode this RAW file: {_message(error)}") from error
    except (rawpy.LibRawIOError, rawpy.LibRawDataError, rawpy.LibRawInputClosedError) as error:
        raise TruncatedImage(f"damaged RAW file: {_message(error)}") from error
    except rawpy.LibRawError as error:
        raise UnreadableImage(f"damaged RAW file: {_message(error)}") from error


def _message(error: Exception) -> str:
    found = error.args[0] if error.args else type(error).__name__
    return found.decode(errors="replace") if isinstance(found, bytes) else str(found)


def stored_orientation(raw: rawpy.RawPy) -> int:
    """Return the EXIF orientation of a RAW file."""
    return _EXIF_ORIENTATION.get(raw.sizes.flip, 1)


def upright_size(raw: rawpy.RawPy) -> tuple[int, int]:
    """Return width and height of the upright image."""
    width, height = raw.sizes.width, raw.sizes.height
    return (height, width) if stored_orientation(raw) >= 5 else (width, height)


def stored_bit_depth(raw: rawpy.RawPy) -> int:
    """Return the bits per sample, by the value of white; 16 if the file does not tell it."""
    return int(raw.white_level or 2**16 - 1).bit_length()


def embedded_jpeg(raw: rawpy.RawPy, least: int) -> bytes | None:
    """Return the embedded JPEG if its shorter side has at least `least` pixels."""
    import rawpy

    try:
        preview = raw.extract_thumb()
        if preview.format != rawpy.ThumbFormat.JPEG:
            return None
        data = bytes(preview.data)
        height, width, *_ = simplejpeg.decode_jpeg_header(data)
    except (rawpy.LibRawError, ValueError):  # there is none, or it is damaged
        return None
    return data if min(width, height) >= least else None


def develop(raw: rawpy.RawPy, *, half_size: bool) -> Pixels:
    """Develop a RAW file with the white balance of the camera: upright sRGB pixels `(h, w, 4)`.

    Args:
        half_size: Whether one pixel is made of each two by two of the sensor, without demosaicing.
    """
    colours = raw.postprocess(use_camera_wb=True, half_size=half_size, output_bps=8)
    pixels = np.full((*colours.shape[:2], 4), 255, np.uint8)
    pixels[..., :3] = colours
    return pixels
