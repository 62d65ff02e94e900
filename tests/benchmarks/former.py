"""Builds by an older checkout of imrec and by this one, in alternating turns (Linux).

    python -m tests.benchmarks.former CHECKOUT --photos FOLDER [--images 4000] [--turns 10]

Each turn is `imrec build` of a new lake as a process of its own. The images are those of `many_images`, of 0.1
megapixels each. CPU seconds count from the start of the process to its end, and for the extraction alone. At the end
the vectors of both lakes are compared: cosines of embeddings, and the share of images whose other vectors are equal.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import polars as pl

from imrec_core.features import chosen_features
from imrec_core.lake.lake import Lake
from tests.benchmarks.many_images import Photos, make_images
from tests.benchmarks.rows import Row, machine, ratio, table
from tests.benchmarks.watched import Watched, watch
from tests.support.real import PHOTOS
from tests.support.running import ROOT

_LIMIT = 7200  # seconds of one process
_MOST = 0.65  # of the CPU time of version 0.1


def main() -> None:
    asked = arguments(__doc__, images=4000, turns=10)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_images(Photos.of_folder(asked.photos, folder / "photos.bin"), folder / "images", range(asked.images), 10)
        rows = measure(folder, {"former": asked.checkout, "this": ROOT}, asked.images, asked.turns)
    print("\n".join(f"  {key}: {value}" for key, value in machine().items()))
    print(table(rows))


def arguments(description: str | None, **numbers: int) -> argparse.Namespace:
    """Parse a checkout, `--photos` and options of numbers with their defaults; end the program if it is no checkout."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path, help="folder of an older version, for example a git worktree")
    parser.add_argument("--photos", type=Path, default=PHOTOS, help="photos to make images of (%(default)s)")
    for name, default in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=default, help="(%(default)s)")
    asked = parser.parse_args()
    asked.checkout = asked.checkout.resolve()
    if not (asked.checkout / "imrec_dagster").is_dir():
        sys.exit(f"{asked.checkout} is no checkout of imrec: it has no folder imrec_dagster")
    return asked


def run_program(checkout: Path, program: str, *given: Path, **variables: str) -> Watched:
    """Run Python code by the modules of a checkout, with more environment variables; end this program if it fails."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("IMREC_", "DAGSTER_"))}
    env |= {"PYTHONPATH": str(checkout), **variables}
    done = watch([sys.executable, "-P", "-c", program, *map(str, given)], env, limit=_LIMIT)
    if done.code:
        sys.exit(f"{checkout} failed: {done.errors[-2000:]}")
    return done


def measure(folder: Path, checkouts: Mapping[str, Path], images: int, turns: int) -> list[Row]:
    spent: defaultdict[str, list[float]] = defaultdict(list)
    for turn in range(-1, turns):  # the first converts the networks and does not count
        for name in list(checkouts) if turn % 2 else reversed(checkouts):
            shutil.rmtree(folder / name, ignore_errors=True)
            whole, extraction = _build(checkouts[name], folder / name, folder / "images")
            if turn >= 0:
                spent[name].append(whole)
                spent[f"{name}, extraction"].append(extraction)
                print(f"turn {turn + 1}, {name}: {whole:.1f} CPU s, of extraction {extraction:.1f}", flush=True)
    rows = [Row(name, 1000 * float(np.median(of)) / images, "core-ms per image") for name, of in spent.items()]
    for suffix in (", extraction", ""):
        mean, upper = ratio(spent[f"this{suffix}"], spent[f"former{suffix}"])
        rows.append(Row(f"this of former{suffix}", mean, "×", f"at most {upper:.3f}, {turns} turns", at_most=_MOST))
    return rows + list(_compared(Lake(folder / "former"), Lake(folder / "this")))


def _build(checkout: Path, lake: Path, images: Path) -> tuple[float, float]:
    """Build a lake; return the CPU seconds of the process and of its extraction."""
    extraction, env = lake.parent / "extraction.json", {"IMREC_LAKE": str(lake), "DAGSTER_DISABLE_TELEMETRY": "yes"}
    done = run_program(checkout, _PROGRAM, extraction, images, **env)
    return done.core_seconds, json.loads(extraction.read_text())


_PROGRAM = """
import json, sys, time
from importlib import import_module
from pathlib import Path
from imrec_dagster.cli import main
try:
    from imrec_core.extraction.pipeline import ShardExtractor as Extractor
    names = ["extract"]
except ImportError:  # version 0.1
    Extractor = import_module(".extract", "imrec_core")._Extraction
    names = ["__init__", "run"]

spent = []

def clocked(function):
    def run(*given, **options):
        started = time.process_time()
        try:
            return function(*given, **options)
        finally:
            spent.append(time.process_time() - started)
    return run

for name in names:
    setattr(Extractor, name, clocked(getattr(Extractor, name)))
sys.argv = ["imrec", "build", sys.argv[2], sys.argv[1]]
file = Path(sys.argv.pop())
try:
    main()
finally:
    file.write_text(json.dumps(sum(spent)))
"""
"""Runs `imrec build` and writes the CPU seconds of the extraction to a file."""


def _compared(former: Lake, this: Lake) -> Iterator[Row]:
    for feature in chosen_features(this):
        if feature.projection:
            continue
        old, new = (_vectors(lake, feature.name) for lake in (former, this))
        if not feature.model:
            yield Row(
                f"{feature.name}, equal", float((old == new).reshape(len(old), -1).all(axis=1).mean()), "of images"
            )
            continue
        cosines = (old * new).sum(axis=1) / np.linalg.norm(old, axis=1) / np.linalg.norm(new, axis=1)
        yield Row(f"{feature.name}, cosine", float(cosines.mean()), "mean", f"at least {cosines.min():.3f}")


def _vectors(lake: Lake, feature: str) -> np.ndarray:
    """Vectors of all images of a lake, in order of their ids."""
    tables = [pl.read_parquet(lake.feature_path(feature, shard)) for shard in lake.live_shards()]
    rows = pl.concat(tables).sort("image_id")["vector"].to_numpy()
    return np.stack(rows).astype(np.float64) if rows.dtype == object else rows.astype(np.float64)


if __name__ == "__main__":
    main()
