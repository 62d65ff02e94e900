"""The commands that say how good the answers of a lake are."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imrec_core.lake import Lake
from imrec_dagster.options import json_option, lake_option, show

if TYPE_CHECKING:
    from imrec_core.generation import Generation
    from imrec_core.judging import Judged, Labels
    from imrec_core.measures import Estimate
    from imrec_core.tuning import Task

_labels_option = click.option(
    "--labels", type=click.Path(path_type=Path, dir_okay=False), help="CSV with the columns path, label."
)
_naming_option = click.option("--naming", type=click.Choice(["holidays", "ukbench"]), help="Labels from file names.")


@click.command()
@_labels_option
@_naming_option
@click.option(
    "--copies", is_flag=True, help="Without labels: edited copies of images, whose originals are to be found."
)
@click.option("--index", is_flag=True, help="Recall@10 and queries/s of each graph over its breadth of search, ef.")
@click.option("--projections", is_flag=True, help="Learnt projections of a feature, each in several sizes.")
@click.option(
    "--by", multiple=True, metavar="FEATURE[:METRIC] | mix:NAME", help="What is judged; repeat. Default: all."
)
@click.option("-k", type=click.IntRange(1), default=5, show_default=True, help="Of precision and recall.")
@click.option("--queries", type=click.IntRange(1), help="Images that are asked with, at most.")
@click.option("--plot", type=click.Path(path_type=Path, dir_okay=False), help="Write precision/recall curves as PNG.")
@click.option("--dims", metavar="A,B,…", help="Sizes of projections; 32,64,128 by default.")
@click.option("--trials", type=click.IntRange(0), help="Trials of the autoencoder's search for settings.")
@json_option
@lake_option
def evaluate(
    labels: Path | None,
    naming: str | None,
    copies: bool,
    index: bool,
    projections: bool,
    by: tuple[str, ...],
    k: int,
    queries: int | None,
    plot: Path | None,
    dims: str | None,
    trials: int | None,
    as_json: bool,
    lake: str,
) -> None:
    """Measure how good the answers are, on the lake's own images.

    Without an option, folders are classes: how well does each feature find images of the same folder?
    """
    from imrec_core.generation import open_generation

    subjects = {"--copies": copies, "--index": index, "--projections": projections}
    _refuse_several({"--labels": labels, "--naming": naming, **subjects})
    if plot and any(subjects.values()):
        raise click.UsageError("--plot draws precision/recall curves, which need labels")
    if by and index:
        raise click.UsageError("--index measures the graphs of all features; leave out --by")
    generation = open_generation(Lake(lake))
    if projections:
        _show_projections(generation, by, dims, trials, as_json)
        return
    if index:
        _show_breadths(Lake(lake), generation, queries, as_json)
        return
    if copies:
        _show_copies(Lake(lake), generation, by, queries, as_json)
        return
    _show_judged(Lake(lake), generation, _labels(generation, Lake(lake), labels, naming), by, k, queries, plot, as_json)


def _refuse_several(given: Mapping[str, object]) -> None:
    names = [name for name, value in given.items() if value]
    if len(names) > 1:
        raise click.UsageError(f"give one of {', '.join(names)}")


def _progress(line: str) -> None:
    click.echo(line, err=True)


# -- by labels ----------------------------------------------------------------------------------------------


def _labels(generation: "Generation", lake: Lake, file: Path | None, naming: str | None) -> "Labels":
    from imrec_core.judging import csv_labels, folder_labels, named_labels

    if file:
        return csv_labels(generation, file, lake.settings().sources)
    return named_labels(generation, naming) if naming else folder_labels(generation)


def _show_judged(
    lake: Lake,
    generation: "Generation",
    labels: "Labels",
    by: Sequence[str],
    k: int,
    queries: int | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    from imrec_core.judging import MAX_QUERIES, judge

    alone, mixes = _mixes(lake, by)
    found = judge(generation, labels, by=alone, mixes=mixes, k=k, queries=queries or MAX_QUERIES, progress=_progress)
    if plot:
        _write_plot(plot, found)
    if as_json:
        show(True, [asdict(judged) for judged in found], [])
        return
    rows = [{"": judged.by, **_in_words(judged.measures)} for judged in found]
    show(False, rows, list(rows[0]))
    click.echo(f"means over {next(iter(found[0].measures.values())).n} queries, with bootstrap intervals of 95 %")


def _mixes(lake: Lake, by: Sequence[str]) -> tuple[list[str], dict[str, dict[str, float]] | None]:
    """The features that were named, and the weights of the mixes; None for the default one where none was named."""
    from imrec_core.settings import mix_weights

    named = [name for name in by if name.startswith("mix:")]
    mixes = {name: mix_weights(lake.settings(), name.removeprefix("mix:")) for name in named}
    return [name for name in by if name not in mixes], mixes or None


def _in_words(measured: "Mapping[str, Estimate]") -> dict[str, Any]:
    return {name: str(estimate) for name, estimate in measured.items()}


def _write_plot(file: Path, found: "Sequence[Judged]") -> None:
    from imrec_core.measures import RECALL_LEVELS
    from imrec_core.plots import draw_precision_recall

    picture = draw_precision_recall({judged.by: judged.precision for judged in found}, RECALL_LEVELS.tolist())
    try:
        file.write_bytes(picture)
    except OSError as error:
        raise click.BadParameter(f"cannot write {file}: {error.strerror}", param_hint="--plot") from error


# -- by copies ----------------------------------------------------------------------------------------------


def _show_copies(lake: Lake, generation: "Generation", by: Sequence[str], photos: int | None, as_json: bool) -> None:
    from imrec_core.copy_protocol import ALL, MAX_PHOTOS, find_copies

    alone, mixes = _mixes(lake, by)
    found = find_copies(lake, generation, by=alone, mixes=mixes, photos=photos or MAX_PHOTOS, progress=_progress)
    if as_json:
        show(True, [asdict(row) for row in found], [])
        return
    rows = [
        {"": row.by, "R@1, all edits": str(row.recall_at_1), "mAP, all edits": str(row.mean_average_precision)}
        for row in found
        if row.edit == ALL
    ]
    show(False, rows, list(rows[0]))
    click.echo(f"copies of {found[0].recall_at_1.n} images, with bootstrap intervals of 95 % over images")
    for title, measure in (("R@1", "recall_at_1"), ("mAP", "mean_average_precision")):
        of_edits: dict[str, dict[str, str]] = {}
        for row in found:
            of_edits.setdefault(row.edit, {title: row.edit})[row.by] = f"{getattr(row, measure).value:.3f}"
        click.echo()
        show(False, list(of_edits.values()), list(of_edits[ALL]))


# -- graphs -------------------------------------------------------------------------------------------------


def _show_breadths(lake: Lake, generation: "Generation", queries: int | None, as_json: bool) -> None:
    from imrec_core.breadth import MAX_QUERIES, measure_breadths

    found = measure_breadths(generation, lake.settings(), queries=queries or MAX_QUERIES, progress=_progress)
    rows = [
        {
            "graph": row.graph,
            "ef": row.ef,
            "recall@10": f"{row.recall:.4f}",
            "queries/s": f"{row.queries_per_second:.0f}",
            "in use": row.in_use,
        }
        for row in found
    ]
    show(as_json, [asdict(row) for row in found] if as_json else rows, list(rows[0]) if rows else [])


@click.command()
@click.option("--recall", type=click.FloatRange(0.95, 1), help="Least recall@10 of every graph: sets its ef.")
@click.option("--measure", type=click.Choice(["map", "precision", "recall1"]), help="Finds the weights best by it.")
@click.option("--copies", is_flag=True, help="Weights that find edited copies, instead of images of the same folder.")
@_labels_option
@_naming_option
@click.option("--by", multiple=True, metavar="FEATURE[:METRIC]", help="What is mixed; repeat. Default: all features.")
@click.option("--name", default="look", show_default=True, help="Of the mix, for: --by mix:NAME")
@click.option("--folds", type=click.IntRange(2), default=5, show_default=True, help="Parts, each held out once.")
@click.option("--queries", type=click.IntRange(1), help="Images that are asked with, at most.")
@json_option
@lake_option
def tune(
    recall: float | None,
    measure: str | None,
    copies: bool,
    labels: Path | None,
    naming: str | None,
    by: tuple[str, ...],
    name: str,
    folds: int,
    queries: int | None,
    as_json: bool,
    lake: str,
) -> None:
    """Set what a search goes by to what does best on the lake's own images, in lake.toml.

    --recall finds the least breadth of search of each graph, --measure the weights of a mix of features.
    """
    from imrec_core.generation import open_generation

    if (recall is None) == (measure is None):
        raise click.UsageError("say what to tune: --recall or --measure")
    _refuse_several({"--labels": labels, "--naming": naming, "--copies": copies, "--recall": recall})
    if by and recall is not None:
        raise click.UsageError("--recall tunes the graphs of all features; leave out --by")
    generation = open_generation(Lake(lake))
    if recall is not None:
        _tune_breadths(Lake(lake), generation, recall, queries, as_json)
        return
    task = _task(Lake(lake), generation, copies, labels, naming, by, queries)
    _tune_weights(Lake(lake), task, measure or "", name, folds, as_json)


def _tune_breadths(lake: Lake, generation: "Generation", recall: float, queries: int | None, as_json: bool) -> None:
    from imrec_core.breadth import MAX_QUERIES, tune_breadths

    chosen = tune_breadths(lake, generation, recall, queries=queries or MAX_QUERIES, progress=_progress)
    rows = [
        {
            "graph": row.graph,
            "ef": row.ef,
            "recall@10": round(row.recall, 4),
            "queries/s": round(row.queries_per_second),
        }
        for row in chosen
    ]
    show(as_json, [asdict(row) for row in chosen] if as_json else rows, list(rows[0]) if rows else [])
    _progress("noted in lake.toml; run: imrec build")


# -- weights ------------------------------------------------------------------------------------------------


def _task(
    lake: Lake,
    generation: "Generation",
    copies: bool,
    labels: Path | None,
    naming: str | None,
    by: Sequence[str],
    queries: int | None,
) -> "Task":
    from imrec_core.tuning import MAX_PHOTOS, MAX_QUERIES, copies_task, labelled_task

    if copies:
        return copies_task(lake, generation, by=by, photos=queries or MAX_PHOTOS, progress=_progress)
    return labelled_task(generation, _labels(generation, lake, labels, naming), by=by, queries=queries or MAX_QUERIES)


def _tune_weights(lake: Lake, task: "Task", measure: str, name: str, folds: int, as_json: bool) -> None:
    from imrec_core.tuning import MEASURES, save_mix, tune_weights

    found = tune_weights(task, measure, folds=folds, progress=_progress)
    save_mix(lake, name, found.weights)
    if as_json:
        click.echo(json.dumps({"name": name, **asdict(found)}))
    else:
        values = {f"mix:{name}, held out": found.held_out, "all alike": found.equal, **found.alone}
        rows = [
            {"": by, MEASURES[measure]: str(value), "weight": found.weights.get(by)} for by, value in values.items()
        ]
        show(False, rows, list(rows[0]))
        click.echo(f"gain over {found.best_other}: {found.gain}, {found.gain.n} images")
    if found.gain.low <= 0:
        _progress(f"the mix is not surely better than {found.best_other}")
    _progress(f"noted in lake.toml; search with: --by mix:{name}")


# -- projections --------------------------------------------------------------------------------------------


def _show_projections(
    generation: "Generation", by: Sequence[str], dims: str | None, trials: int | None, as_json: bool
) -> None:
    from imrec_core.evaluate import compare_in

    if len(by) > 1:
        raise click.BadParameter("projections of one feature are compared; name one", param_hint="--by")
    found = compare_in(generation, by[0] if by else None, dims=_numbers(dims), trials=trials, progress=_progress)
    rows = [
        {
            "method": quality.method,
            "dims": quality.dims,
            "10 nearest kept": round(quality.kept, 3),
            "among 100": round(quality.found, 3),
            "bytes": quality.bytes_per_image,
            "seconds": round(quality.seconds, 2),
        }
        for quality in found
    ]
    show(as_json, [asdict(quality) for quality in found] if as_json else rows, list(rows[0]) if rows else [])


def _numbers(text: str | None) -> list[int]:
    try:
        return [int(number) for number in text.split(",")] if text else []
    except ValueError:
        raise click.BadParameter(f"{text!r} is no list of numbers", param_hint="--dims") from None
