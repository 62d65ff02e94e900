"""Generations of the default features by an older checkout of imrec and by this one, in alternating turns (Linux).

    python -m tests.benchmarks.former_generation CHECKOUT --photos FOLDER [--rows 500000] [--turns 3]

Both checkouts get the same vectors, those of `generation`. A turn fits and projects the reduced feature and builds the
generation, in a process of its own; its imports count.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np

from imrec_core.features import find_feature
from imrec_core.index.opening import open_generation
from imrec_core.lake.settings import DEFAULT_FEATURES
from tests.benchmarks.former import arguments, run_program
from tests.benchmarks.generation import write_moved
from tests.benchmarks.large import WITH_FULL
from tests.benchmarks.rows import Row, machine, ratio, table
from tests.benchmarks.testbed import Testbed
from tests.support.running import ROOT

_MOST = 0.5  # of the time of version 0.1


def main() -> None:
    asked = arguments(__doc__, rows=500_000, turns=3)
    with tempfile.TemporaryDirectory() as name:
        work = Testbed(Path(name), asked.photos, rows=asked.rows)
        rows = measure(work, {"former": asked.checkout, "this": ROOT}, asked.turns)
    print("\n".join(f"  {key}: {value}" for key, value in machine().items()))
    print(table(rows))


def measure(work: Testbed, checkouts: dict[str, Path], turns: int) -> list[Row]:
    _write_vectors(work)
    for name, checkout in checkouts.items():
        run_program(checkout, _WRITE, work.folder / name, work.folder / "vectors")
    shutil.rmtree(work.folder / "vectors")
    seconds, core, peaks = defaultdict(list), defaultdict(list), defaultdict(list)
    for turn in range(turns):
        for name in list(checkouts) if turn % 2 else reversed(checkouts):
            done = run_program(checkouts[name], _TURN, work.folder / name)
            for found, value in ((seconds, done.seconds), (core, done.core_seconds), (peaks, done.peak)):
                found[name].append(value)
            print(f"turn {turn + 1}, {name}: {done.seconds:.0f} s, {done.core_seconds:.0f} core-s", flush=True)
    rows = [Row("rows", work.rows, "", f"{turns} turns")]
    for name in checkouts:
        note = f"{np.median(core[name]):.0f} core-s, {max(peaks[name]) / 1e6:,.0f} MB at most beside mapped files"
        rows.append(Row(name, float(np.median(seconds[name])), "s", note))
    for clock, spent in (("seconds", seconds), ("core seconds", core)):
        mean, upper = ratio(spent["this"], spent["former"])
        rows.append(Row(f"this of former, {clock}", mean, "×", f"at most {upper:.3f}", at_most=_MOST))
    return rows


def _write_vectors(work: Testbed) -> None:
    """Write the vectors that both versions have; each makes those of its reduced feature itself."""
    (work.folder / "vectors").mkdir()
    photos = open_generation(work.built_lake("photos", work.photos, WITH_FULL))
    for name in DEFAULT_FEATURES:
        if not find_feature(name).projection:
            write_moved(photos, name, work.rows, work.folder / "vectors" / f"{name}.npy")


_WRITE = """
import sys
from pathlib import Path
import numpy as np
try:
    from tests.support import toy
except ImportError:  # version 0.1
    from tests import toy

root, folder = map(Path, sys.argv[1:])
vectors = {path.stem: np.load(path, mmap_mode="r") for path in folder.glob("*.npy")}
toy.vector_lake(root, vectors, shard_size=4096)
"""
"""Writes a lake of the vectors in a folder."""

_TURN = """
import shutil, sys
from importlib import import_module
from pathlib import Path
from imrec_core.features import chosen_features
try:
    from imrec_core.extraction.fit import fit
    from imrec_core.extraction.project import project_shard
    from imrec_core.index.build import build_generation
    from imrec_core.lake.lake import Lake
except ImportError:  # version 0.1
    fitting, index, lakes = (import_module(name, "imrec_core") for name in (".fit", ".index", ".lake"))
    fit, project_shard, build_generation, Lake = fitting.fit, fitting.project_shard, index.build_generation, lakes.Lake

root = Path(sys.argv[1])
lake = Lake(root)
(reduced,) = [feature for feature in chosen_features(lake) if feature.projection]
for made in (root / "fitted", root / "features" / reduced.name, root / "generations"):
    shutil.rmtree(made, ignore_errors=True)
fit(lake, reduced)
for shard in lake.live_shards():
    project_shard(lake, shard, reduced)
build_generation(lake)
"""
"""Fits and projects the reduced feature of a lake, and builds its generation."""


if __name__ == "__main__":
    main()
