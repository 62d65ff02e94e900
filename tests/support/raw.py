"""Camera RAW files, drawn: DNG with a Bayer mosaic, with or without an embedded JPEG."""

from __future__ import annotations

import io
import struct
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_BYTE, _ASCII, _SHORT, _LONG, _RATIONAL, _SRATIONAL = 1, 2, 3, 4, 5, 10
_FORMATS = {_BYTE: "B", _ASCII: "B", _SHORT: "H", _LONG: "I", _RATIONAL: "I", _SRATIONAL: "i"}
WHITE = 4095

_XYZ_TO_LINEAR_SRGB = (3.2405, -1.5371, -0.4985, -0.9693, 1.8760, 0.0416, 0.0556, -0.2040, 1.0572)

Tags = dict[int, tuple[int, list[int]]]


def dng(
    pixels: NDArray[np.uint8], *, orientation: int = 1, preview: bytes | None = None, camera: str = "Test Camera"
) -> bytes:
    """Return a DNG file of RGB pixels `(h, w, 3)`, with 12 bits per sample.

    Args:
        preview: JPEG file to embed.
    """
    height, width = pixels.shape[:2]
    mosaic = np.empty((height, width), np.float64)
    for row, column, colour in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
        mosaic[row::2, column::2] = pixels[row::2, column::2, colour]
    samples = (mosaic / 255 * WHITE).astype("<u2").tobytes()
    camera_tags: Tags = {
        271: _text("Maker"),
        272: _text(camera),
        274: (_SHORT, [orientation]),
        306: _text("2021:05:06 07:08:09"),
        50706: (_BYTE, [1, 4, 0, 0]),
        50708: _text(camera),
        50721: (_SRATIONAL, _fractions(*_XYZ_TO_LINEAR_SRGB)),
        50728: (_RATIONAL, _fractions(1, 1, 1)),
        50778: (_SHORT, [21]),
    }
    raw: Tags = {
        **_strip(width, height, samples=1, bits=16, compression=1, photometric=32803, is_preview=False),
        33421: (_SHORT, [2, 2]),
        33422: (_BYTE, [0, 1, 1, 2]),
        50717: (_LONG, [WHITE]),
    }
    if preview is None:
        return _file([({**raw, **camera_tags}, samples)])
    with Image.open(io.BytesIO(preview)) as image:
        size = image.size
    shown = _strip(*size, samples=3, bits=8, compression=7, photometric=6, is_preview=True)
    return _file([({**shown, **camera_tags}, preview), (raw, samples)])


def _strip(
    width: int, height: int, *, samples: int, bits: int, compression: int, photometric: int, is_preview: bool
) -> Tags:
    return {
        254: (_LONG, [int(is_preview)]),
        256: (_LONG, [width]),
        257: (_LONG, [height]),
        258: (_SHORT, [bits] * samples),
        259: (_SHORT, [compression]),
        262: (_SHORT, [photometric]),
        277: (_SHORT, [samples]),
        278: (_LONG, [height]),
    }


def _text(text: str) -> tuple[int, list[int]]:
    return _ASCII, [*text.encode(), 0]


def _fractions(*values: float) -> list[int]:
    return [part for value in values for part in Fraction(value).limit_denominator(1000).as_integer_ratio()]


def _file(images: list[tuple[Tags, bytes]]) -> bytes:
    """Write a TIFF file: the first image in IFD 0, the second in its SubIFD."""
    out = bytearray(b"II*\0" + bytes(4))
    written: list[int] = []
    for tags, data in reversed(images):
        start = len(out)
        out += data + bytes(len(data) % 2)
        located = {**tags, 273: (_LONG, [start]), 279: (_LONG, [len(data)])}
        if written:
            located[330] = (_LONG, [written[0]])
        written.insert(0, _write_ifd(out, located))
    out[4:8] = struct.pack("<I", written[0])
    return bytes(out)


def _write_ifd(out: bytearray, tags: Tags) -> int:
    entries = b""
    for tag, (kind, values) in sorted(tags.items()):
        data = struct.pack(f"<{len(values)}{_FORMATS[kind]}", *values)
        count = len(values) // 2 if kind in (_RATIONAL, _SRATIONAL) else len(values)
        if len(data) > 4:
            place, data = len(out), data + bytes(len(data) % 2)
            out += data
            data = struct.pack("<I", place)
        entries += struct.pack("<HHI", tag, kind, count) + data.ljust(4, b"\0")
    start = len(out)
    out += struct.pack("<H", len(tags)) + entries + bytes(4)
    return start
