"""Segments of a JPEG file (ITU-T T.81, annex B): metadata, and whether the data of all scans is there.

Only markers are read, no entropy-coded data is decoded: a file of 5 MB takes a few microseconds.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

JPEG_START = b"\xff\xd8\xff"

_EXIF, _XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
_ICC_PROFILE, _MULTI_PICTURE = b"ICC_PROFILE\0", b"MPF\0"
_ENTRIES = 0xB002  # tag of CIPA DC-007: 16 bytes for each image, with its kind in the first four
_PREVIEW = 0x01  # kind: a smaller version of the first image
_GAIN_MAP = (b"hdrgm:", b"GainMap")  # in XMP (Ultra HDR, ISO 21496-1): the second image brightens the first
_APP1, _APP2, _START_OF_SCAN, _END_OF_IMAGE = 0xE1, 0xE2, 0xDA, 0xD9
_WITH_METADATA = frozenset((_APP1, _APP2))
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITH_SCANS = _FRAME_HEADERS | {_START_OF_SCAN}
_PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
_SEGMENT_START = struct.Struct(">BBH").unpack_from  # marker of two bytes, and length
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")  # behind entropy-coded data


@dataclass(frozen=True)
class JpegSegments:
    """Metadata of a JPEG file, each part empty where the file has none.

    Attributes:
        exif: EXIF block, without its heading.
        xmp: XMP packet.
        icc_profile: Colour profile, joined from all its segments.
        frames: Number of images in the file (Multi-Picture Format, CIPA DC-007), without previews and gain maps.
    """

    exif: bytes = b""
    xmp: bytes = b""
    icc_profile: bytes = b""
    frames: int = 1


def read_segments(data: bytes) -> JpegSegments:
    """Read the segments ahead of the first scan; what is damaged counts as missing."""
    exif, xmp, frames, profile = b"", b"", 1, {}
    for marker, start, end in _segments(data, _WITH_METADATA):
        body = data[start:end]
        if marker == _APP1 and body.startswith(_EXIF):
            exif = exif or body[len(_EXIF) :]
        elif marker == _APP1 and body.startswith(_XMP):
            xmp = xmp or body[len(_XMP) :]
        elif marker == _APP2 and body.startswith(_ICC_PROFILE):
            profile[body[len(_ICC_PROFILE)] if len(body) > len(_ICC_PROFILE) else 0] = body[len(_ICC_PROFILE) + 2 :]
        elif marker == _APP2 and body.startswith(_MULTI_PICTURE):
            frames = _image_count(body[len(_MULTI_PICTURE) :])
    if xmp and any(word in xmp for word in _GAIN_MAP):
        frames = 1
    return JpegSegments(exif, xmp, b"".join(profile[number] for number in sorted(profile)), frames)


def has_all_scans(data: bytes) -> bool:
    """Check whether every coefficient is coded to its last bit, in a file that lacks the end of its last scan or none.

    A progressive file may be cut between two scans: decoders then show it blurred, without a word.
    """
    missing: dict[int, set[int]] = {}
    is_progressive = False
    for marker, start, end in _segments(data, _WITH_SCANS):
        body = data[start:end]
        if marker in _FRAME_HEADERS and len(body) > 6:
            is_progressive = marker in _PROGRESSIVE
            missing = {component: set(range(64)) for component in body[6::3]}
        elif marker == _START_OF_SCAN and body and len(body) >= 4 + 2 * body[0]:
            first, last, bits = body[1 + 2 * body[0] : 4 + 2 * body[0]]
            coded = set(range(first, last + 1)) if is_progressive else set(range(64))
            for component in body[1 : 1 + 2 * body[0] : 2]:
                if component in missing and not (is_progressive and bits & 15):
                    missing[component] -= coded
    return bool(missing) and not any(missing.values())


def _segments(data: bytes, wanted: frozenset[int]) -> Iterator[tuple[int, int, int]]:
    """Yield each wanted marker with start and end of the body of its segment, up to the end of the image or to damage.

    If scans are not wanted, the first one is the end.
    """
    at, last = 2, len(data) - 4
    while at <= last:
        first, marker, size = _SEGMENT_START(data, at)
        if first != 0xFF or marker == _END_OF_IMAGE:
            return
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        end = at + 2 + size
        if marker in wanted:
            yield marker, at + 4, end
        if marker == _START_OF_SCAN:
            found = _NEXT_MARKER.search(data, end) if marker in wanted else None
            if found is None:
                return
            end = found.start()
        at = end


def _image_count(block: bytes) -> int:
    """Count the images in the index of a multi-picture file that are no previews; 1 if the index is damaged."""
    order = "<" if block[:2] == b"II" else ">"
    try:
        (at,) = struct.unpack_from(f"{order}4xL", block)
        (tags,) = struct.unpack_from(f"{order}H", block, at)
        for i in range(tags):
            tag, _, size, start = struct.unpack_from(f"{order}HHLL", block, at + 2 + 12 * i)
            if tag == _ENTRIES:
                entries = block[start : start + size]
                kinds = [int(value) >> 16 & 0xFF for (value,) in struct.iter_unpack(f"{order}L12x", entries)]
                return max(sum(kind != _PREVIEW for kind in kinds), 1)
    except struct.error:
        pass
    return 1
