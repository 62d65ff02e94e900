"""Duplicates: seconds and memory over many images and pages, and which edited copies are found, which photos paired."""

import resource
import shutil
from time import perf_counter, process_time

import numpy as np
from PIL import Image

from imrec_core.duplicates import Duplicates, find_duplicates
from imrec_core.duplicates.block_input import BlockInput
from imrec_core.duplicates.comparison import compare
from imrec_core.images.decode import decode
from imrec_core.images.edits import EDITS
from imrec_core.index.build import build_generation
from imrec_core.index.opening import open_generation
from imrec_core.lake.lake import Lake
from tests.benchmarks.rows import Row
from tests.benchmarks.testbed import Testbed
from tests.support import toy
from tests.support.pages import blank_page, jpeg

_ROWS, _COPIES = 100_000, 0.1  # rows, and the share of them that are copies of another
_HASHES = ("phash", "dhash")
_FLIPPED, _FLIPPED_OF_COPIES = 0.25, 0.015  # share of the bits
_EDITED = 64
_PAGES = 5000


def measure(work: Testbed) -> list[Row]:
    """Of hashes made from real ones without files, so that candidates are timed; then of the photos by their pixels."""
    photos = work.built_lake("photos", work.photos)
    many = _perturbed(work, photos)
    started = perf_counter()
    find_duplicates(many)
    seconds = perf_counter() - started
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # Linux: kB
    rows = [
        Row("near, 100,000 images", seconds, "s", "candidates; no files to verify", at_most=20),
        Row("peak memory", memory, "GB", "of this process so far", at_most=2),
    ]
    for tier in ("near", "edited"):
        shutil.rmtree(photos.layout.verified_pairs_path.parent, ignore_errors=True)
        found, first = _timed(photos, tier)
        again = _timed(photos, tier)[1]
        rows += [
            Row(f"{tier}, photos", first, "CPU s", f"{len(open_generation(photos))} images, {found.compared} pairs"),
            Row(f"{tier}, photos, again", again, "CPU s", "from stored results", at_most=max(first / 5, 2)),
            Row(f"{tier}, groups of photos", len(found), "", "look at them: real ones or false"),
        ]
    return rows + _pages(work) + _recall(work)


def _timed(lake: Lake, tier: str) -> tuple[Duplicates, float]:
    """Duplicates, and the CPU time of the search."""
    started = process_time()
    found = find_duplicates(lake, tier=tier)
    return found, process_time() - started


def _pages(work: Testbed) -> list[Row]:
    """Of nearly blank pages, which have 12 million pairs of similar hashes."""
    folder = work.folder / "pages"
    (folder / "photos").mkdir(parents=True)
    for seed in range(_PAGES):
        (folder / "photos" / f"{seed:05}.jpg").write_bytes(jpeg(blank_page(seed, 620, 800), 85))
    lake = toy.new_lake(folder / "lake", _HASHES, shard_size=1024)
    toy.build(lake)
    found, seconds = _timed(lake, "near")
    again = _timed(lake, "near")[1]
    return [
        Row(f"near, {_PAGES} blank pages", seconds, "CPU s", f"{found.compared} pairs", at_most=60),
        Row(f"near, {_PAGES} blank pages, again", again, "CPU s", "from stored results", at_most=12),
    ]


def _perturbed(work: Testbed, photos: Lake) -> Lake:
    """A lake of hashes that are those of photos with bits flipped, many or few."""
    generation, rng = open_generation(photos), np.random.default_rng(0)
    origin = rng.integers(0, len(generation), _ROWS)
    share = np.where(rng.random((_ROWS, 1)) < _COPIES, _FLIPPED_OF_COPIES, _FLIPPED)
    vectors = {}
    for name in _HASHES:
        flips = np.packbits(rng.random((_ROWS, 64)) < share, axis=1).view(np.uint64)
        vectors[name] = np.asarray(generation.matrix(name))[origin] ^ flips
    lake = toy.vector_lake(work.folder / "hashes", vectors, shard_size=4096)
    build_generation(lake)
    return lake


def _recall(work: Testbed) -> list[Row]:
    """Share of edited copies whose tier is found, edit by edit."""
    paths = sorted(path for path in work.photos.rglob("*.jpg") if "broken" not in path.parts)
    chosen = paths[:: max(len(paths) // _EDITED, 1)][:_EDITED]
    hits = dict.fromkeys(EDITS, 0)
    for path in chosen:
        data = path.read_bytes()
        original = BlockInput.of_bytes(data)
        picture = Image.fromarray(np.ascontiguousarray(decode(data).pixels[..., :3]))
        for name, edit in EDITS.items():
            hits[name] += compare(original, BlockInput.of_bytes(edit(picture))).tier is not None
    return [
        Row(f"verified: {name}", count / len(chosen), "", f"of {len(chosen)} photos") for name, count in hits.items()
    ]
