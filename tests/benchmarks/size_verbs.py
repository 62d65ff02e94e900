"""Steps that run the verbs of the command `imrec` over a lake of some size, each as a process of its own."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations
from pathlib import Path

from tests.benchmarks.many_images import COPY_KINDS, original_of, planted_pairs
from tests.benchmarks.size_work import Figure, Work

LEFT_OUT = {
    "demo": "builds a lake as `imrec build` does, then searches it as `imrec search` does",
    "completion": "prints a script, whatever the lake",
    "open": "builds a lake as `imrec build` does, and serves it as `imrec serve` does",
    "models --fetch, --check": "depend on networks, not on the images of a lake",
    "duplicates --plan, --apply, --undo, decisions": "work on the groups that `imrec duplicates` has found",
    "evaluate --pairs, --projections": "take pairs or 500 queries, whatever the size of the lake",
    "sources add, rename, move, drop": "change lake.toml; the next build does the work",
    "failures --retry": "there are none among these images",
}
"""Verbs and options that are not measured, and why."""

FORMATS = ("parquet", "csv", "faiss", "lance", "qdrant", "projector", "atlas", "graphml")

Results = dict[str, float]


def _verb(work: Work, *arguments: str) -> list[Figure]:
    """Run a verb.

    `{id}` in its arguments stands for an image of the lake, `{file}` for one that is not in it, `{out}` for a file to
    write.
    """
    places: dict[str, Callable[[], Path | str]] = {
        "{id}": lambda: work.image_id,
        "{file}": lambda: work.query,
        "{out}": lambda: work.scratch / "out.png",
    }
    done = work.imrec(*(places[word]() if word in places else word for word in arguments))
    shown = [word.strip("{}").upper() if word in places else word for word in arguments if word not in ("-o", "--csv")]
    results: Results = {"lines": len(done.output.splitlines())} if done.output else {}
    return [work.figure(" ".join(word for word in shown if word != "OUT"), done, results)]


def duplicates(tier: str, work: Work) -> list[Figure]:
    """All groups of a tier, from nothing."""
    shutil.rmtree(work.lake.layout.duplicates_folder, ignore_errors=True)
    return _duplicates(f"duplicates --tier {tier}", tier, work)


def duplicates_again(tier: str, work: Work) -> list[Figure]:
    """All groups of a tier, from the stored results of the search before."""
    return _duplicates(f"duplicates --tier {tier}, again", tier, work)


def _duplicates(name: str, tier: str, work: Work) -> list[Figure]:
    done = work.imrec("duplicates", "--tier", tier, "--json")
    found = {} if done.code or done.is_cut else groups_found(work.images, done.output)
    return [work.figure(name, done, found)]


def groups_found(images: int, output: str) -> Results:
    """Return the share of the planted copies that are found by kind, and counts of groups and of other pairs."""
    found = json.loads(output)
    groups = [sorted(int(Path(copy["path"]).stem) for copy in group["copies"]) for group in found["groups"]]
    pairs = {pair for group in groups for pair in combinations(group, 2)}
    planted = planted_pairs(range(images))
    results: Results = {"groups": len(groups), "pairs compared": found["compared"], "planted": len(planted)}
    results["recall of planted"] = len(pairs & planted.keys()) / max(len(planted), 1)
    for kind in COPY_KINDS:
        of_kind = {pair for pair, of in planted.items() if of == kind}
        results[f"recall, {kind}"] = len(pairs & of_kind) / max(len(of_kind), 1)
    return results | {"pairs not planted": sum(not _is_planted(pair) for pair in pairs)}


def _is_planted(pair: tuple[int, int]) -> bool:
    """Whether both are one image or its copies: copies of one original are copies of each other."""
    first, second = (number if original_of(number) is None else original_of(number) for number in pair)
    return first == second


def issues(work: Work) -> list[Figure]:
    """From nothing; results that are stored are removed."""
    work.lake.layout.issues_path.unlink(missing_ok=True)
    return _verb(work, "issues")


def export(format: str, work: Work) -> list[Figure]:
    """Of all that the format takes by default."""
    out = work.scratch / f"export-{format}"
    shutil.rmtree(out, ignore_errors=True)
    done = work.imrec("export", "--to", format, out)
    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file()) / 1e6 if out.exists() else 0
    shutil.rmtree(out, ignore_errors=True)
    return [work.figure(f"export --to {format}", done, {"MB": size})]


def tune(arguments: Sequence[str], work: Work) -> list[Figure]:
    """With the lake's settings as before afterwards."""
    settings = work.lake.root / "lake.toml"
    before = settings.read_bytes()
    try:
        return _verb(work, "tune", *arguments)
    finally:
        settings.write_bytes(before)


def tag(work: Work) -> list[Figure]:
    """Give a tag to 1 % of the images, list the tags, filter by it, and take it away."""
    marked = ("marked", "--where", "row % 100 = 0")
    return [
        *_verb(work, "tag", *marked),
        *_verb(work, "tag", "--list"),
        *_verb(work, "search", "{id}", "--where", "'marked' IN tags"),
        *_verb(work, "tag", "--remove", *marked),
    ]


def _sql(work: Work, select: str) -> list[Figure]:
    return _verb(work, "sql", select, "--csv")


VERBS: dict[str, tuple[str, ...]] = {
    "status": ("status",),
    "check": ("check",),
    "failures": ("failures",),
    "features": ("features",),
    "models": ("models",),
    "sources": ("sources", "list"),
    "outliers": ("outliers", "20"),
    "sample": ("sample", "100"),
    "sample_diverse": ("sample", "100", "--diverse"),
    "label_issues": ("label-issues",),
    "evaluate": ("evaluate",),
    "evaluate_queries": ("evaluate", "--queries", "500"),
    "evaluate_index": ("evaluate", "--index"),
    "evaluate_copies": ("evaluate", "--copies", "--queries", "100"),
    "evaluate_fusion": ("evaluate", "--fusion", "--queries", "100"),
    "map": ("map",),
    "map_tsne": ("map", "--method", "tsne"),
    "map_picture": ("map", "--picture", "{out}"),
    "map_update": ("map", "--update"),
    "plot_values": ("plot", "values", "-o", "{out}"),
    "plot_distances": ("plot", "distances", "-o", "{out}"),
    "plot_stages": ("plot", "stages", "-o", "{out}"),
    "plot_confusion": ("plot", "confusion", "-o", "{out}"),
    "plot_hashes": ("plot", "hashes", "{id}", "--by", "phash", "-o", "{out}"),
    "plot_histograms": ("plot", "histograms", "{id}", "--by", "hsv_histogram", "-o", "{out}"),
    "gc_dry_run": ("gc", "--dry-run"),
    "gc": ("gc",),
}


def _named(arguments: tuple[str, ...]) -> Callable[[Work], list[Figure]]:
    return lambda work: _verb(work, *arguments)


STEPS: dict[str, Callable[[Work], list[Figure]]] = {
    "duplicates_near": partial(duplicates, "near"),
    "duplicates_near_again": partial(duplicates_again, "near"),
    "duplicates_edited": partial(duplicates, "edited"),
    "duplicates_edited_again": partial(duplicates_again, "edited"),
    "compare": lambda work: _verb(work, "compare", "{file}", "{file}"),
    "issues": issues,
    "issues_again": lambda work: _again(_verb(work, "issues")),
    **{name: _named(arguments) for name, arguments in VERBS.items()},
    **{f"export_{format}": partial(export, format) for format in FORMATS},
    "sql_rows": partial(_sql, select="SELECT source, count(*), avg(width) FROM rows GROUP BY source"),
    "sql_images": partial(_sql, select="SELECT count(*), avg(brightness) FROM catalog JOIN images USING (image_id)"),
    "sql_vectors": partial(_sql, select="SELECT count(*), avg(vector[1]) FROM efficientnet_lite0"),
    "tag": tag,
    "tune_recall": partial(tune, ("--recall", "0.98")),
    "tune_measure": partial(tune, ("--measure", "mean_average_precision", "--queries", "500")),
}


def _again(figures: list[Figure]) -> list[Figure]:
    return [replace(figure, name=f"{figure.name}, again") for figure in figures]
