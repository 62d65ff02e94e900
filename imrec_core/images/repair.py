"""Repair of files that lost nothing of their pixels: a missing end marker, a damaged comment.

Viewers show such files. What cannot be shown whole is not repaired: `decode` refuses it, or decodes what is left.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import simplejpeg

from imrec_core.images.jpeg_segments import JPEG_START, has_all_scans

_PNG = b"\x89PNG\r\n\x1a\n"
_END_OF_JPEG, _END_OF_GIF = b"\xff\xd9", b";"
_SHAPING = (b"tRNS", b"acTL", b"fcTL", b"fdAT")  # ancillary, but pixels or frames depend on them


def repaired(data: bytes) -> bytes | None:
    """Return a file that decodes to the same pixels; None if there is nothing to repair or pixels were lost."""
    if data.startswith(JPEG_START):
        ended = data + (_END_OF_JPEG[1:] if data.endswith(b"\xff") else _END_OF_JPEG)
        return ended if has_all_scans(data) and _decodes_strictly(ended) else None
    if data.startswith(_PNG):
        return _without_damaged_comments(data)
    return None


def lacks_end(data: bytes) -> bool:
    """Check whether a PNG or GIF file has no end marker."""
    if data.startswith(_PNG):
        return b"IEND" not in data[-1024:] and all(kind != b"IEND" for kind, _, _ in _chunks(data))
    return data.startswith(b"GIF8") and not data.rstrip(b"\0").endswith(_END_OF_GIF)


def _decodes_strictly(jpeg: bytes) -> bool:
    """Check whether libjpeg finds no damage; Pillow, which decodes CMYK, fills up what is missing."""
    try:
        simplejpeg.decode_jpeg(jpeg, "GRAY", strict=True, min_height=1, min_width=1, min_factor=1)
    except ValueError:
        return False
    return True


def _without_damaged_comments(data: bytes) -> bytes | None:
    """Drop the ancillary chunks of a PNG file whose checksum is wrong and which no pixel depends on."""
    kept, dropped = [_PNG], 0
    for kind, whole, body in _chunks(data):
        is_ancillary = bool(kind[0] & 0x20) and kind not in _SHAPING
        if is_ancillary and zlib.crc32(kind + body) != int.from_bytes(whole[-4:], "big"):
            dropped += 1
        else:
            kept.append(whole)
    return b"".join(kept) if dropped else None


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Yield type, whole chunk and body of each complete chunk of a PNG file."""
    at = len(_PNG)
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if end > len(data):
            return
        yield data[at + 4 : at + 8], data[at:end], data[at + 8 : end - 4]
        at = end
