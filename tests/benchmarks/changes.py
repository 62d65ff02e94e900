"""Changes in a lake that is built: what they take, against building what is new alone."""

import shutil
from pathlib import Path
from time import perf_counter

from imrec_core.lake.lake import Lake
from imrec_dagster.builder import build_lake
from tests.benchmarks.rows import Row
from tests.benchmarks.testbed import Testbed, load_networks

_ADDED, _FEW = 1000, 10


def measure(work: Testbed) -> list[Row]:
    """One after the other, by Dagster as `imrec build` does it; networks are loaded before any clock starts."""
    load_networks(work.new_lake("lake-empty", work.photos))
    photos = work.many.rename(work.folder / "growing")
    alone = work.new_lake("lake-alone", _copies(photos, work.folder / "alone", _ADDED, "alone"))
    by_itself = _built(alone)
    lake = work.new_lake("lake-growing", photos)
    whole = _built(lake)
    _copies(photos, photos / "added", _ADDED, "added")
    added = _built(lake)
    _copies(photos / "added", photos / "few", _FEW, "few")
    few = _built(lake)
    (photos / "added").rename(photos / "renamed")
    renamed = _built(lake)
    shutil.rmtree(photos / "few")
    removed = _built(lake)
    return [
        Row("lake", work.images, "images", f"built in {whole:.1f} s"),
        Row(f"{_ADDED} images alone", by_itself, "s", "a lake of their own"),
        Row(f"{_ADDED} images added", added, "s", at_most=1.5 * by_itself + 10),
        Row(f"{_FEW} images added", few, "s", at_most=5),
        Row(f"{_ADDED} images renamed", renamed, "s", "read, not decoded"),
        Row(f"{_FEW} images removed", removed, "s"),
        Row("nothing new", _built(lake), "s"),
    ]


def _built(lake: Lake) -> float:
    started = perf_counter()
    build_lake(lake, home=str(lake.dagster_home))
    return perf_counter() - started


def _copies(photos: Path, into: Path, count: int, mark: str) -> Path:
    """Files whose pictures are those of some photos, but whose bytes are their own."""
    files = sorted(path for path in photos.rglob("*") if path.is_file())
    into.mkdir()
    for i in range(count):
        file = files[i * len(files) // count]
        (into / f"{i:04d}{file.suffix}").write_bytes(file.read_bytes() + f"{mark} {i}".encode())
    return into
