"""imrec beside its peers in one run: core time per image, of an HNSW graph, and of a query at equal recall.

    python -m tests.benchmarks.peers --photos FOLDER [--images N] [--rows N] [--turns 10]

The peers are the script of `baseline.py` and imagededup for images, faiss, hnswlib and usearch for vectors. Each works
in a process of its own, in alternating turns. A peer that is not installed is a row that says so; this installs all:

    .venv/bin/pip install -c constraints.txt -e '.[peers]'
"""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.benchmarks import peer_graphs, peer_images
from tests.benchmarks.rows import Row, core_clock, machine, table

LIBRARIES = (
    "imrec",
    "scipy",
    "imagehash",
    "efficientnet_lite_pytorch",
    "imagededup",
    "faiss-cpu",
    "usearch",
)


def main(arguments: list[str]) -> None:
    asked = _parse(arguments)
    # The processes of the peers load this module, but not what only this process needs.
    from tests.benchmarks.testbed import Testbed

    print("\n".join(f"{name:<9} {value}" for name, value in machine(LIBRARIES).items()), flush=True)
    before = core_clock()
    with tempfile.TemporaryDirectory(prefix="imrec-bench-") as folder:
        work = Testbed(Path(folder), asked.photos, asked.images, asked.rows)
        for name, part in (("images", peer_images), ("vectors", peer_graphs)):
            print(f"\n{name}\n{table(part.measure(work, asked.turns))}", flush=True)
    wall, own, busy = (after - start for start, after in zip(before, core_clock()))
    others = max(busy - own, 0) / wall
    rows = [Row("own core time", own, "core-s"), Row("cores busy with others", others, "", "of a quiet machine: 0")]
    print(f"\nrun\n{table(rows)}")


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, help="folder of photos (default: those of the slow tests, or the demo)")
    parser.add_argument("--images", type=int, default=300, help="files made of the photos (default %(default)s)")
    parser.add_argument("--rows", type=int, default=20_000, help="vectors of a graph (default %(default)s)")
    parser.add_argument("--turns", type=int, default=10, help="of each contender (default %(default)s)")
    asked = parser.parse_args(arguments)
    if asked.photos and not asked.photos.is_dir():
        parser.error(f"--photos: {asked.photos} is no folder")
    for name, least in _LEAST.items():
        if getattr(asked, name) < least:
            parser.error(f"--{name}: {getattr(asked, name)} is too few; expected {least} or more")
    return asked


_LEAST = {"images": 3, "rows": 2 * peer_graphs.QUERIES, "turns": 2}


if __name__ == "__main__":
    main(sys.argv[1:])
