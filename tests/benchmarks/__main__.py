"""`python -m tests.benchmarks [NAME ...] [OPTION ...]`."""

import argparse
import importlib
import json
import tempfile
from dataclasses import asdict
from pathlib import Path

from tests.benchmarks.rows import Row, core_clock, machine, table
from tests.benchmarks.testbed import Testbed

SUBJECTS = (
    "stages",
    "catalog",
    "describe",
    "networks",
    "reduction",
    "build",
    "dask",
    "changes",
    "memory",
    "search",
    "large",
    "cold",
    "page",
    "grid_page",
    "extend",
    "generation",
    "cut",
    "precision",
    "candidates",
    "features",
    "content",
    "quality",
    "copies",
    "duplicates",
    "originals",
    "tiles",
    "curate",
    "planted",
    "opencv",
    "map",
    "map_page",
    "serve",
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SUBJECTS)}; default: all")
    parser.add_argument("--photos", type=Path, help="folder of photos, a folder per class where quality is measured")
    parser.add_argument("--images", type=int, default=Testbed.images, help="files to build from (default %(default)s)")
    parser.add_argument(
        "--rows",
        type=int,
        default=Testbed.rows,
        help="of what `large`, `cold`, `extend`, `generation`, `curate` and `map` build (default %(default)s)",
    )
    parser.add_argument("--files", type=int, default=Testbed.files, help="that are scanned (default %(default)s)")
    parser.add_argument("--json", type=Path, help="note the figures there; those of other subjects stay")
    asked = parser.parse_args()
    if unknown := set(asked.names) - set(SUBJECTS):
        parser.error(f"no subject {', '.join(sorted(unknown))}; there are {', '.join(SUBJECTS)}")
    if asked.photos and not asked.photos.is_dir():
        parser.error(f"{asked.photos} is no folder")
    facts, found = machine(), {}
    print("\n".join(f"{name:<9} {value}" for name, value in facts.items()))
    with tempfile.TemporaryDirectory(prefix="imrec-bench-") as folder:
        work = Testbed(Path(folder), asked.photos, asked.images, asked.rows, asked.files)
        for name in asked.names or SUBJECTS:
            before = core_clock()
            found[name] = importlib.import_module(f"tests.benchmarks.{name}").measure(work)
            wall, own, busy = (after - start for start, after in zip(before, core_clock()))
            found[name].append(
                Row("cores busy with others", max(busy - own, 0) / wall, "", "figures of a quiet one count")
            )
            print(f"\n{name}\n{table(found[name])}", flush=True)
    if asked.json:
        noted = json.loads(asked.json.read_text()) if asked.json.exists() else {"machines": {}, "subjects": {}}
        noted["machines"] |= dict.fromkeys(found, facts)
        noted["subjects"] |= {name: [asdict(row) for row in rows] for name, rows in found.items()}
        asked.json.write_text(json.dumps(noted, indent=1))


main()
