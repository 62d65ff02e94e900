"""Size of a JPEG XL image by its header (ISO/IEC 18181-1).

It is read first, because the plug-in for Pillow decodes all pixels when it opens a file.
"""

from __future__ import annotations

import struct
from fractions import Fraction

_CODESTREAM = b"\xff\x0a"
_CONTAINER = b"\0\0\0\x0cJXL \r\n\x87\n"
_RATIOS = {1: Fraction(1), 2: Fraction(12, 10), 3: Fraction(4, 3), 4: Fraction(3, 2), 5: Fraction(16, 9),
           6: Fraction(5, 4), 7: Fraction(2)}  # fmt: skip
_SIZE_BITS = (9, 13, 18, 30)


def is_jxl(data: bytes) -> bool:
    """Return whether a file is JPEG XL: a codestream, or one in a container."""
    return data.startswith((_CODESTREAM, _CONTAINER))


def read_size(data: bytes) -> tuple[int, int]:
    """Return width and height that the header of a JPEG XL file declares.

    Raises:
        ValueError: The file has no whole header.
    """
    start = 0 if data.startswith(_CODESTREAM) else _find_codestream(data)
    head = data[start + 2 : start + 16]
    if data[start : start + 2] != _CODESTREAM or len(head) < 10:
        raise ValueError("no header of a codestream")
    bits = _Bits(int.from_bytes(head, "little"))
    is_small = bits.take(1)
    height = _take_side(bits, is_small)
    ratio = bits.take(3)
    return int(height * _RATIOS[ratio]) if ratio else _take_side(bits, is_small), height


class _Bits:
    """Bits from the least significant on."""

    def __init__(self, value: int) -> None:
        self._value = value

    def take(self, count: int) -> int:
        taken = self._value & ((1 << count) - 1)
        self._value >>= count
        return taken


def _take_side(bits: _Bits, is_small: int) -> int:
    return (bits.take(5) + 1) * 8 if is_small else bits.take(_SIZE_BITS[bits.take(2)]) + 1


def _find_codestream(data: bytes) -> int:
    """Return where the codestream begins in a container, which consists of boxes."""
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        inner = at + 8
        if size == 1:
            size, inner = int.from_bytes(data[inner : inner + 8], "big"), inner + 8
        if kind == b"jxlc":
            return inner
        if kind == b"jxlp":  # a part of the codestream, behind its number
            return inner + 4
        if size < inner - at:  # 0 for the last box; less than its own header if it is damaged
            break
        at += size
    raise ValueError("no codestream")
