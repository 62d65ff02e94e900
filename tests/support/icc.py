"""Colour profiles (ICC.1:2001, version 2), as small as they can be."""

import struct

import numpy as np

D50 = (0.9642, 1.0, 0.8249)
SRGB = np.array([[0.4360, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7141]])
ADOBE = np.array([[0.6097, 0.2053, 0.1492], [0.3111, 0.6257, 0.0632], [0.0195, 0.0609, 0.7446]])
P3 = np.array([[0.5151, 0.2920, 0.1571], [0.2412, 0.6922, 0.0666], [-0.0011, 0.0419, 0.7841]])
PROPHOTO = np.array([[0.7977, 0.1352, 0.0313], [0.2880, 0.7119, 0.0001], [0.0, 0.0, 0.8249]])


def rgb_profile(matrix: np.ndarray, gamma: float = 2.2, name: str = "drawn") -> bytes:
    """A profile by a matrix to XYZ (D50) and a gamma."""
    columns = zip((b"rXYZ", b"gXYZ", b"bXYZ"), np.asarray(matrix).T, strict=True)
    curves = {tag: _gamma(gamma) for tag in (b"rTRC", b"gTRC", b"bTRC")}
    return _profile(b"RGB ", b"XYZ ", {tag: _xyz(column) for tag, column in columns} | curves, name)


def grey_profile(gamma: float, name: str = "drawn grey") -> bytes:
    return _profile(b"GRAY", b"XYZ ", {b"kTRC": _gamma(gamma)}, name)


def cmyk_profile(name: str = "drawn inks") -> bytes:
    """Inks that print lightness alone: black ink and the sum of the others, in steps of a table of 2⁴ entries."""
    inks = np.indices((2, 2, 2, 2)).reshape(4, -1)
    lightness = np.clip(255 - 85 * inks[:3].sum(axis=0) - 255 * inks[3], 0, 255)
    lab = np.stack([lightness, np.full(16, 128), np.full(16, 128)], axis=1).astype(np.uint8)
    ramp = np.arange(256, dtype=np.uint8).tobytes()
    identity = struct.pack(">9l", *(0x10000 if i % 4 == 0 else 0 for i in range(9)))
    table = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + identity + 4 * ramp + lab.tobytes() + 3 * ramp
    return _profile(b"CMYK", b"Lab ", {b"A2B0": table}, name, b"prtr")


def _profile(space: bytes, connection: bytes, tags: dict[bytes, bytes], name: str, kind: bytes = b"mntr") -> bytes:
    text = name.encode() + b"\0"
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">L", len(text)) + text + bytes(78),
        b"wtpt": _xyz(D50),
        b"cprt": b"text\0\0\0\0none\0",
        **tags,
    }
    table, body, at = struct.pack(">L", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for tag, content in tags.items():
        table += tag + struct.pack(">LL", at + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    header = struct.pack(">L4sL4s4s4s", at + len(body), b"lcms", 0x02100000, kind, space, connection)
    header += bytes(12) + b"acsp" + bytes(28) + _xyz(D50)[8:] + bytes(48)
    return header + table + body


def _xyz(values) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3l", *(round(float(value) * 65536) for value in values))


def _gamma(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">LH", 1, round(gamma * 256))
