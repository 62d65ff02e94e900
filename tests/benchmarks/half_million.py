"""Every verb measured over lakes of 5,000, 50,000 and 500,000 images, and how its time and memory grow (Linux).

    python -m tests.benchmarks.half_million IMAGES --work FOLDER [--only STEP]... [--again STEP]...
    python -m tests.benchmarks.half_million growth

The first makes a lake of so many images and runs every verb over it as a user does. It keeps each finished step in the
folder: a run that was stopped goes on with the next step. With --table it notes the figures for the docs. The second
prints from that table the exponents by which time and memory grow. Half a million images take 25 GB of disk.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from time import perf_counter

from docs import sizes_tables
from tests.benchmarks import size_builds, size_searches, size_served, size_verbs
from tests.benchmarks.rows import core_clock, machine
from tests.benchmarks.size_work import Figure, Work
from tests.support.real import PHOTOS

Step = Callable[[Work], list[Figure]]

STEPS: Mapping[str, Step] = (
    size_builds.STEPS | size_searches.STEPS | size_verbs.STEPS | size_served.STEPS | size_builds.CHANGES
)
"""In the order in which they run: those that change the images come last."""

_NEEDED = ("images", "build")  # by all others


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["growth"]:
        print(sizes_tables.growth_table())
        return
    asked = _parser().parse_args(arguments)
    if unknown := {*asked.only, *asked.again} - STEPS.keys():
        sys.exit(f"no step {', '.join(sorted(unknown))}; there are {', '.join(STEPS)}")
    if not asked.photos.is_dir():
        sys.exit(f"{asked.photos} is no folder; give one with photos: --photos FOLDER")
    asked.work.mkdir(parents=True, exist_ok=True)
    work = Work(asked.work.resolve(), asked.photos.resolve(), asked.images, asked.subfolders, asked.limit)
    _require_same_size(work)
    for name, step in STEPS.items():
        if (not asked.only or name in asked.only) and (name in asked.again or not _kept(work, name).exists()):
            _run(work, name, step)
    if asked.table:
        note_figures(work, asked.table)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=int, help="number of images, for example 5000, 50000 or 500000")
    parser.add_argument("--work", type=Path, required=True, help="folder of images, lake and finished steps")
    parser.add_argument("--photos", type=Path, default=PHOTOS, help="photos from which to make images (%(default)s)")
    parser.add_argument("--subfolders", type=int, default=100, help="into which the images go (default %(default)s)")
    parser.add_argument("--limit", type=float, default=7200, help="seconds of one command (default %(default)s)")
    parser.add_argument("--only", action="append", default=[], metavar="STEP", help=f"of {', '.join(STEPS)}")
    parser.add_argument("--again", action="append", default=[], metavar="STEP", help="run a finished step again")
    parser.add_argument(
        "--table", type=Path, nargs="?", const=sizes_tables.MEASURED, help="note the figures there (%(const)s)"
    )
    return parser


def _require_same_size(work: Work) -> None:
    """Exit if the folder belongs to a run over another number of images."""
    size = work.folder / "images.txt"
    if not size.exists():
        size.write_text(str(work.images))
    if int(size.read_text()) != work.images:
        sys.exit(f"{work.folder} has a run over {size.read_text()} images; name another folder with --work")


def _kept(work: Work, name: str) -> Path:
    return work.folder / "figures" / f"{name}.json"


def _run(work: Work, name: str, step: Step) -> None:
    """Run a step and keep its figures; a failure is a figure, too, except of a step that all others need."""
    print(f"{name} …", flush=True)
    started, before = perf_counter(), core_clock()
    try:
        figures = step(work)
    except Exception as error:
        if name in _NEEDED:
            raise
        figures = [Figure(name, perf_counter() - started, note=f"failed: {error}")]
    for figure in figures:
        print(f"  {sizes_tables.in_words(asdict(figure))}", flush=True)
    if name == "build" and any(figure.note for figure in figures):
        sys.exit("the build failed; the other steps need it")
    file = _kept(work, name)
    file.parent.mkdir(exist_ok=True)
    wall, own, busy = (after - start for start, after in zip(before, core_clock()))
    others = {"cores_of_others": round(max(busy - own, 0) / wall, 2)}
    file.write_text(json.dumps([asdict(figure) | others for figure in figures], indent=1))


def note_figures(work: Work, table: Path) -> None:
    """Put the figures of all finished steps into a table, beside those of other sizes and of steps not run again."""
    noted = json.loads(table.read_text()) if table.exists() else {}
    earlier = noted.get(str(work.images), {"figures": []})["figures"]
    figures = {figure["name"]: figure for figure in earlier}
    for name in STEPS:
        if _kept(work, name).exists():
            figures |= {figure["name"]: figure for figure in json.loads(_kept(work, name).read_text())}
    noted[str(work.images)] = {"machine": machine(), "figures": list(figures.values())}
    table.write_text(json.dumps(dict(sorted(noted.items(), key=lambda size: int(size[0]))), indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
