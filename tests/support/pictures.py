"""Images for tests, generated with reproducible bytes, so that git holds no binary files."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

from imrec_core.images.sample_photos import _png_with_header

ORIENTATION = 0x0112


# The eight orientations of an image, in the order of `features.dihedral.ORIENTATIONS`.
TURNS = [
    lambda a: a,
    np.rot90,
    lambda a: np.rot90(a, 2),
    lambda a: np.rot90(a, 3),
    np.flipud,
    np.fliplr,
    lambda a: a.swapaxes(0, 1),
    lambda a: np.rot90(a, 2).swapaxes(0, 1),
]


def gradient(width: int, height: int) -> NDArray[np.uint8]:
    """Draw a gradient with a different colour in each corner, so that every rotation and reflection differs."""
    down, right = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    return (np.stack([right, down, 1 - right * down], axis=-1) * 255).astype(np.uint8)


def noise(width: int, height: int, seed: int = 0) -> NDArray[np.uint8]:
    """Draw blots of all sizes, the coarse ones strongest, as in a photo."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width, 3))
    for cells in (2, 4, 8, 16, 32, 64):
        blots = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), np.uint8))
        total += np.asarray(blots.resize((width, height), Image.Resampling.BICUBIC), float) / cells
    return ((total - total.min()) / np.ptp(total) * 255).astype(np.uint8)


def stripes(width: int, height: int) -> NDArray[np.uint8]:
    """Draw vertical stripes of eight pixels: red, white, blue."""
    colours = np.array([[200, 30, 40], [250, 250, 250], [30, 60, 180]], np.uint8)
    return np.tile(colours[np.arange(width) // 8 % 3], (height, 1, 1))


def disc(width: int, height: int) -> NDArray[np.uint8]:
    """Draw a yellow disc on dark green, left of the centre."""
    down, right = np.mgrid[0:height, 0:width]
    inside = (right - width * 0.4) ** 2 + (down - height / 2) ** 2 < (height * 0.3) ** 2
    return np.where(inside[..., None], np.uint8([240, 200, 40]), np.uint8([20, 60, 30]))


def encode(pixels: NDArray[np.generic] | Image.Image, file_format: str, **options: object) -> bytes:
    """Encode an image as the bytes of a file."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    file = BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def exif(orientation: int) -> Image.Exif:
    """Create an EXIF block with an orientation."""
    tags = Image.Exif()
    tags[ORIENTATION] = orientation
    return tags


def _half_clear() -> Image.Image:
    """Draw an image whose left half is transparent black and whose right half is opaque."""
    pixels = np.zeros((60, 80, 4), np.uint8)
    pixels[:, 40:] = [10, 120, 200, 255]
    return Image.fromarray(pixels)


def _palette() -> bytes:
    image = Image.fromarray(stripes(96, 64)).quantize(3)
    return encode(image, "PNG", transparency=image.getpixel((0, 0)))


def _sixteen_bit() -> bytes:
    down, right = np.mgrid[0:48, 0:64]
    return encode((right * 1024 + down).astype(np.uint16), "PNG")


def _animation() -> bytes:
    first, second = Image.fromarray(disc(80, 60)), Image.fromarray(stripes(80, 60))
    return encode(first, "GIF", save_all=True, append_images=[second], duration=100)


def _damaged() -> bytes:
    content = bytearray(encode(noise(160, 120), "JPEG", quality=90))
    middle = len(content) // 2
    content[middle : middle + 300] = bytes(300)
    return bytes(content)


def _half(content: bytes) -> bytes:
    return content[: len(content) // 2]


PICTURES: dict[str, Callable[[], bytes]] = {
    name: cache(make)
    for name, make in {
        "gradient.jpg": lambda: encode(gradient(160, 120), "JPEG", quality=95),
        "stripes.png": lambda: encode(stripes(120, 90), "PNG"),
        "disc.webp": lambda: encode(disc(128, 96), "WEBP", quality=90),
        "noise.jpg": lambda: encode(noise(320, 240), "JPEG", quality=90),
        "one_pixel.png": lambda: encode(np.full((1, 1, 3), [200, 100, 50], np.uint8), "PNG"),
        "cmyk.jpg": lambda: encode(Image.fromarray(gradient(96, 64)).convert("CMYK"), "JPEG", quality=95),
        "sixteen_bit.png": _sixteen_bit,
        "grey.jpg": lambda: encode(noise(120, 90, seed=1)[..., 1], "JPEG", quality=90),
        "alpha.png": lambda: encode(_half_clear(), "PNG"),
        "palette.png": _palette,
        "exif_6.jpg": lambda: encode(np.rot90(noise(200, 120, seed=2)), "JPEG", quality=90, exif=exif(6)),
        "animation.gif": _animation,
        "big.jpg": lambda: encode(noise(1600, 1200, seed=3), "JPEG", quality=80),
        "photo.tif": lambda: encode(noise(150, 100, seed=4), "TIFF", compression="tiff_lzw"),
        "photo.bmp": lambda: encode(noise(100, 75, seed=5), "BMP"),
    }.items()
}
if features.check("avif"):
    PICTURES["photo.avif"] = cache(lambda: encode(noise(120, 80, seed=6), "AVIF", quality=90, speed=10))

BROKEN: dict[str, Callable[[], bytes]] = {
    name: cache(make)
    for name, make in {
        "truncated.jpg": lambda: _half(PICTURES["noise.jpg"]()),
        "empty.jpg": bytes,
        "text.jpg": lambda: b"This is a text that somebody renamed.\n",
        "huge_header.png": lambda: _png_with_header(60_000, 60_000),
        "half.webp": lambda: _half(PICTURES["disc.webp"]()),
        "damaged.jpg": _damaged,
    }.items()
}


def write_pictures(folder: Path) -> None:
    """Write all images, valid and broken, to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in (PICTURES | BROKEN).items():
        (folder / name).write_bytes(make())
