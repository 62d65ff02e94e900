"""Half a million distinct images, made from a folder of photos.

Image number `i` depends on the photos and on `i` alone, so a run that was stopped goes on, and a larger set begins with
the smaller one. It shows a crop of one photo and, beyond a soft edge, a crop of another, both with other colours. The
crops of one photo are the cells of four grids: those of a grid do not overlap. After 54 uses of a photo its cells come
again, beside other photos and with other colours.
"""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from imrec_core.errors import ImageError
from imrec_core.images.decode import decode
from tests.benchmarks.rows import cores

Pixels = NDArray[np.uint8]

COPY_EVERY = 100
"""The last of so many numbers is a copy of one of the others: 1 % of the images."""

COPY_KINDS = ("encoded again", "shrunk", "brighter")

_SHAPES = ((288, 384), (384, 288), (256, 416), (320, 320))  # height, width: 0.1 megapixels
_CELLS = tuple((grid, y, x) for grid in (2, 3, 4, 5) for y in range(grid) for x in range(grid))
_SIDE = 1024  # most that is kept of a photo
_QUALITY = 88
_ANGLES = 32
_AT_ONCE = 500  # images per task of a process


@dataclass(frozen=True)
class Photos:
    """Photos decoded once into a file that all processes map.

    Attributes:
        path: File of their pixels, one photo after the other.
        starts: Byte at which each starts.
        shapes: Height and width of each.
    """

    path: Path
    starts: tuple[int, ...]
    shapes: tuple[tuple[int, int], ...]

    @classmethod
    def of_folder(cls, folder: Path, path: Path) -> "Photos":
        """Decode the photos of a folder, in order of their paths, into a file.

        Raises:
            ValueError: The folder has fewer than two photos.
        """
        starts, shapes, end = [], [], 0
        with path.open("wb") as file:
            for pixels in _decoded(folder):
                starts.append(end)
                shapes.append(pixels.shape[:2])
                end += file.write(np.ascontiguousarray(pixels).data)
        if len(shapes) < 2:
            raise ValueError(f"{folder}: {len(shapes)} photos; expected two or more, whose crops are combined")
        return cls(path, tuple(starts), tuple(shapes))

    def __len__(self) -> int:
        return len(self.shapes)

    def __getitem__(self, number: int) -> Pixels:
        (height, width), start = self.shapes[number], self.starts[number]
        return _mapped(self.path)[start : start + 3 * height * width].reshape(height, width, 3)


@cache
def _mapped(path: Path) -> Pixels:
    return np.memmap(path, np.uint8, "r")


def _decoded(folder: Path) -> Iterator[Pixels]:
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            pixels = decode(path.read_bytes()).pixels[..., :3]
        except ImageError:
            continue
        scale = _SIDE / max(pixels.shape[:2])
        if scale < 1:
            pixels = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        yield pixels


def original_of(number: int) -> int | None:
    """Return the number of the image of which this one is a copy; None for an image that is no copy."""
    block, place = divmod(number, COPY_EVERY)
    if place != COPY_EVERY - 1:
        return None
    return block * COPY_EVERY + int(np.random.default_rng((1, number)).integers(COPY_EVERY - 1))


def copy_kind(number: int) -> str:
    """Return how a copy differs from its original, one of `COPY_KINDS`."""
    return COPY_KINDS[number // COPY_EVERY % len(COPY_KINDS)]


def planted_pairs(numbers: Iterable[int]) -> dict[tuple[int, int], str]:
    """Return the pairs of original and copy among some numbers, each with the kind of its copy."""
    known = set(numbers)
    pairs = ((original_of(number), number) for number in sorted(known))
    return {(first, second): copy_kind(second) for first, second in pairs if first is not None and first in known}


def path_of(number: int, photos: int, folders: int) -> Path:
    """Return the path of an image within its folder: images of neighbouring photos share a subfolder.

    A copy lies beside its original.
    """
    original = original_of(number)
    first = _first_photo(number if original is None else original, photos)
    return Path(f"{first * folders // photos:04d}") / f"{number:09d}.jpg"


def _first_photo(number: int, photos: int) -> int:
    return number * _step(photos) % photos


@cache
def _step(photos: int) -> int:
    """Return a step that visits all photos, so that a small set has images of all folders, too."""
    return next(step for step in range(round(photos * 0.618) or 1, 2 * photos) if np.gcd(step, photos) == 1)


def image_bytes(photos: Photos, number: int) -> bytes:
    """Make image `number` as a JPEG file of about 0.1 megapixels."""
    original = original_of(number)
    if original is None:
        return _encoded(_composed(photos, number), _QUALITY)
    pixels = simplejpeg.decode_jpeg(image_bytes(photos, original))
    match copy_kind(number):
        case "encoded again":
            return _encoded(pixels, 70)
        case "shrunk":
            return _encoded(cv2.resize(pixels, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA), _QUALITY)
        case _:
            return _encoded(cv2.convertScaleAbs(pixels, alpha=1.1, beta=12), _QUALITY)


def _encoded(pixels: Pixels, quality: int) -> bytes:
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality, colorsubsampling="420"))


def _composed(photos: Photos, number: int) -> Pixels:
    rng = np.random.default_rng((0, number))
    first, use = _first_photo(number, len(photos)), number // len(photos)
    second = (first + int(rng.integers(1, len(photos)))) % len(photos)
    shape = _SHAPES[rng.integers(len(_SHAPES))]
    grid, y, x = _CELLS[(use + first) % len(_CELLS)]
    side = rng.uniform(0.35, 0.65)
    top, left = rng.uniform(0, 1 - side, 2)
    parts = [
        _crop(photos[first], (y / grid, x / grid, 1 / grid), shape, mirror=bool(rng.integers(2))),
        _crop(photos[second], (top, left, side), shape, mirror=bool(rng.integers(2))),
    ]
    parts = [cv2.transform(part, _colours(rng)) for part in parts]
    mask, rest = _masks(shape)[rng.integers(_ANGLES)]
    return np.asarray(cv2.blendLinear(*parts, mask, rest))


def _crop(photo: Pixels, box: tuple[float, float, float], shape: tuple[int, int], *, mirror: bool) -> Pixels:
    top, left, side = box
    height, width = photo.shape[:2]
    y, x = int(top * height), int(left * width)
    part = photo[y : y + max(int(side * height), 8), x : x + max(int(side * width), 8)]
    resized = cv2.resize(part, shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.flip(resized, 1) if mirror else resized)


def _colours(rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw gains of the channels, an exchange between them and a shift; as `cv2.transform` takes them."""
    matrix = np.diag(rng.uniform(0.75, 1.1, 3)) + rng.uniform(0, 0.25, (3, 3))
    matrix *= rng.uniform(0.8, 1.15) / matrix.sum(axis=1).mean()
    return np.column_stack([matrix, rng.uniform(-15, 15, 3)])


@cache
def _masks(shape: tuple[int, int]) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Return weights of the first and of the second crop for each angle of their edge; the first has more."""
    y, x = np.mgrid[: shape[0], : shape[1]] / np.array(shape).reshape(2, 1, 1) - 0.5
    masks = []
    for angle in np.arange(_ANGLES) * 2 * np.pi / _ANGLES:
        mask = (1 / (1 + np.exp(-14 * (x * np.cos(angle) + y * np.sin(angle) + 0.12)))).astype(np.float32)
        masks.append((mask, 1 - mask))
    return masks


def make_images(photos: Photos, folder: Path, numbers: range, folders: int) -> int:
    """Write images that a folder lacks, by a process per core; return how many were written.

    Args:
        folder: Gets `folders` subfolders.
        numbers: Of the images.
    """
    there = {path.stem for path in folder.rglob("*.jpg")}
    missing = [number for number in numbers if f"{number:09d}" not in there]
    for i in range(folders):
        (folder / f"{i:04d}").mkdir(parents=True, exist_ok=True)
    if len(missing) <= _AT_ONCE:
        _write(photos, folder, missing, folders)
        return len(missing)
    spawn = get_context("spawn")  # forked processes sometimes hung here, with OpenCV 5.0, 2026-12
    with ProcessPoolExecutor(cores(), spawn, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        tasks = [
            pool.submit(_write, photos, folder, missing[i : i + _AT_ONCE], folders)
            for i in range(0, len(missing), _AT_ONCE)
        ]
        for task in tasks:
            task.result()
    return len(missing)


def _write(photos: Photos, folder: Path, numbers: Iterable[int], folders: int) -> None:
    for number in numbers:
        path = folder / path_of(number, len(photos), folders)
        unfinished = path.with_suffix(".part")
        unfinished.write_bytes(image_bytes(photos, number))
        os.replace(unfinished, path)
