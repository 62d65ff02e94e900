"""Odd image files, drawn by number: formats, modes and sizes, whole and damaged, under right and wrong names."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from imrec_core.images.decode import available_formats
from tests.support.pictures import encode, noise
from tests.support.raw import dng

_SIZES = ((160, 120), (1, 1), (1, 700), (3000, 2), (33, 47), (640, 480), (1600, 1200), (4000, 3000))
_SIZE_SHARES = (0.3, 0.1, 0.05, 0.05, 0.25, 0.15, 0.09, 0.01)

_VARIANTS: tuple[tuple[str, str, str, dict[str, object]], ...] = (  # suffix, format, mode, options
    *(("jpg", "JPEG", mode, {"quality": q}) for mode in ("L", "RGB", "CMYK") for q in (5, 95)),
    ("jpg", "JPEG", "RGB", {"progressive": True, "exif": b"Exif\0\0II*\0\x08\0\0\0\xff\xff"}),
    *(("png", "PNG", mode, {}) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")),
    *(("webp", "WEBP", mode, {"lossless": lossless}) for mode in ("RGB", "RGBA") for lossless in (True, False)),
    *(("bmp", "BMP", mode, {}) for mode in ("1", "L", "P", "RGB", "RGBA")),
    *(("tif", "TIFF", mode, {}) for mode in ("1", "L", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F", "LAB")),
    *(("tif", "TIFF", "RGB", {"compression": kind}) for kind in ("tiff_lzw", "tiff_deflate", "jpeg", "packbits")),
    ("tif", "TIFF", "1", {"compression": "group4"}),
    *((suffix, kind, "RGB", {"save_all": True}) for suffix, kind in (("gif", "GIF"), ("tif", "TIFF"), ("png", "PNG"))),
    *(("jp2", "JPEG2000", mode, {}) for mode in ("L", "RGB", "RGBA")),
    *((suffix, "PPM", mode, {}) for suffix, mode in (("pbm", "1"), ("pgm", "L"), ("ppm", "RGB"))),
    *(("tga", "TGA", mode, {}) for mode in ("L", "RGB", "RGBA")),
    ("gif", "GIF", "P", {}),
    ("ico", "ICO", "RGBA", {}),
    ("avif", "AVIF", "RGB", {"speed": 10}),
    ("jxl", "JXL", "RGB", {"effort": 1}),
    ("dng", "RAW", "RGB", {}),
)  # fmt: skip

_OTHERS: tuple[tuple[str, bytes], ...] = (
    ("empty.jpg", b""),
    ("text.png", b"not an image, but words"),
    ("page.jpg", b"<!doctype html><title>404</title>"),
    ("archive.webp", b"PK\x03\x04" + bytes(200)),
    ("script.tif", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n"),
    ("video.mp4", b"\0\0\0\x18ftypisom" + bytes(100)),
    ("drawing.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
    ("nothing", b"x"),
)

Damage = Callable[[bytes, np.random.Generator], bytes]


def _cut(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: rng.integers(0, len(data))]


def _flip(data: bytes, rng: np.random.Generator) -> bytes:
    changed = np.frombuffer(data, np.uint8).copy()
    at = rng.integers(0, len(changed), rng.integers(1, 20))
    changed[at] ^= rng.integers(1, 256, len(at)).astype(np.uint8)
    return changed.tobytes()


def _zero(data: bytes, rng: np.random.Generator) -> bytes:
    at = int(rng.integers(0, len(data)))
    return data[:at] + bytes(min(4096, len(data) - at)) + data[at + 4096 :]


def _extend(data: bytes, rng: np.random.Generator) -> bytes:
    return data + rng.bytes(1000)


def _huge_header(data: bytes, rng: np.random.Generator) -> bytes:
    """Let the first bytes be large numbers, as declared sizes often are among them."""
    at = int(rng.integers(4, 40))
    return data[:at] + b"\x7f\xff\xff\x7f" + data[at + 4 :]


_DAMAGES: tuple[Damage | None, ...] = (None, None, None, _cut, _flip, _flip, _zero, _extend, _huge_header)


def odd_files(count: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """Yield names and contents of odd files."""
    known = {*available_formats(), "RAW"}
    variants = itertools.cycle([one for one in _VARIANTS if one[1] in known])
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        if number % 25 == 24:
            name, data = _OTHERS[number // 25 % len(_OTHERS)]
            yield f"{number:05}_{name}", data
            continue
        suffix, kind, mode, options = next(variants)
        width, height = _SIZES[rng.choice(len(_SIZES), p=_SIZE_SHARES)]
        data = _draw(kind, mode, width, height, number, dict(options))
        damage = _DAMAGES[rng.integers(len(_DAMAGES))]
        is_misnamed = rng.random() < 0.05
        yield f"{number:05}.{'jpg' if is_misnamed else suffix}", damage(data, rng) if damage else data


def write_odd_files(folder: Path, count: int, seed: int = 0) -> None:
    """Write odd files to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in odd_files(count, seed):
        (folder / name).write_bytes(data)


def _draw(kind: str, mode: str, width: int, height: int, seed: int, options: dict[str, object]) -> bytes:
    tile = noise(160, 120, seed)
    pixels = np.tile(tile, (-(-height // 120), -(-width // 160), 1))[:height, :width]
    if kind == "RAW":
        even = np.zeros((max(height & ~1, 32), max(width & ~1, 32), 3), np.uint8)
        even[: height & ~1, : width & ~1] = pixels[: height & ~1, : width & ~1]
        return dng(even, orientation=1 + seed % 8, preview=encode(pixels, "JPEG") if seed % 2 else None)
    image = Image.fromarray(pixels)
    if mode == "I;16":
        image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    elif mode in ("I", "F"):
        image = Image.fromarray(pixels[..., 0].astype(np.int32 if mode == "I" else np.float32))
    elif mode == "LAB":
        image = Image.frombytes("LAB", (width, height), pixels.tobytes())
    else:
        image = image.convert(mode)
    if options.get("save_all"):
        options["append_images"] = [image.rotate(180), image.rotate(90, expand=False)]
    if kind == "ICO":
        options["sizes"] = [(min(width, 256), min(height, 256))]
    return encode(image, kind, **options)
