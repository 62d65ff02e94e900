"""Duplicates of tier `edited` over parts of photos, 20 times as many, against the photos: growth of time and memory."""

import resource
import shutil
from collections.abc import Iterator
from pathlib import Path
from time import process_time

from PIL import Image

from imrec_core.duplicates import find_duplicates
from imrec_core.errors import ImageError
from imrec_core.images.decode import decode_file
from imrec_core.lake.lake import Lake
from tests.benchmarks.rows import Row
from tests.benchmarks.testbed import Testbed

_COLUMNS, _ROWS, _SIDE = 5, 4, 400  # parts of a photo; pixels of the longer side to which they are enlarged


def measure(work: Testbed) -> list[Row]:
    """Parts have few keypoints and many neighbours with similar content, so they are harder than other photos."""
    photos = work.built_lake("photos", work.photos)
    first, _ = _timed(photos)
    tiles = work.built_lake("tiles", _cut(work.photos, work.folder / "parts"))
    again, pairs = _timed(tiles)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # Linux: kB
    return [
        Row("edited, photos", first, "CPU s"),
        Row("edited, parts of photos", again, "CPU s", f"{pairs} pairs"),
        Row("growth", again / first, "", f"{_COLUMNS * _ROWS} parts of each photo", at_most=25),
        Row("peak memory", memory, "GB", "of this process, with the builds"),
    ]


def _timed(lake: Lake) -> tuple[float, int]:
    """CPU time of a search without stored results, and the number of compared pairs."""
    shutil.rmtree(lake.layout.verified_pairs_path.parent, ignore_errors=True)
    started = process_time()
    found = find_duplicates(lake, tier="edited")
    return process_time() - started, found.compared


def _cut(photos: Path, folder: Path) -> Path:
    for number, photo in enumerate(_decoded(photos)):
        (folder / f"{number:05}").mkdir(parents=True)
        width, height = photo.size
        for part in range(_COLUMNS * _ROWS):
            x, y = part % _COLUMNS, part // _COLUMNS
            left, right = (width * i // _COLUMNS for i in (x, x + 1))
            top, bottom = (height * i // _ROWS for i in (y, y + 1))
            scale = _SIDE / max(right - left, bottom - top)
            size = round((right - left) * scale), round((bottom - top) * scale)
            enlarged = photo.resize(size, Image.Resampling.BICUBIC, box=(left, top, right, bottom))
            enlarged.save(folder / f"{number:05}" / f"{part:02}.jpg", quality=88)
    return folder


def _decoded(photos: Path) -> Iterator[Image.Image]:
    for path in sorted(photos.rglob("*.jpg")):
        try:
            pixels = decode_file(path).pixels
        except ImageError:
            continue
        yield Image.fromarray(pixels[..., :3].copy())
