"""`imrec tune`: choose ef by recall, or feature weights by a measure, and save them in `lake.toml`."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imrec_dagster.cli.help import examples
from imrec_dagster.cli.label_options import find_labels, labels_option, naming_option, refuse_several
from imrec_dagster.cli.options import json_option, lake_option, trust_option
from imrec_dagster.cli.output import show
from imrec_dagster.cli.progress_line import ProgressLine

if TYPE_CHECKING:
    from imrec_core.evaluation.tuning_tasks import TuningTask
    from imrec_core.index.generation import Generation
    from imrec_core.lake.lake import Lake


_CORE_MEASURES = {"mean_average_precision": "map"}  # name of the option to the key of `weight_tuning.MEASURES`
_OLD_MEASURES = {"map": "mean_average_precision"}  # of version 0.1; "map" is the 2-D map everywhere else


class _Measure(click.Choice[str]):
    """The measures to tune by, and their old names with a warning."""

    def convert(self, value: str, param: click.Parameter | None, context: click.Context | None) -> str:
        if value in _OLD_MEASURES:
            click.echo(f"--measure {value}: deprecated; use {_OLD_MEASURES[value]}", err=True)
            value = _OLD_MEASURES[value]
        return super().convert(value, param, context)


@click.command(
    short_help="Tune search on the lake's images",
    epilog=examples("imrec tune --measure precision", "imrec tune --recall 0.98"),
)
@click.option(
    "--recall",
    type=click.FloatRange(0.95, 1),
    help="Set ef of each HNSW graph to the least that reaches this recall@10.",
)
@click.option(
    "--measure",
    type=_Measure(["mean_average_precision", "precision", "recall1"]),
    help="Find the feature weights with the best value of this measure.",
)
@click.option("--copies", is_flag=True, help="Tune the weights to find edited copies instead of images of one folder.")
@labels_option
@naming_option
@click.option(
    "--by", multiple=True, metavar="FEATURE[:METRIC]", help="Feature of the mix; repeatable. Default: all features."
)
@click.option("--name", default="look", show_default=True, help="Name of the mix, for: --by mix:NAME")
@click.option("--folds", type=click.IntRange(2), default=5, show_default=True, help="Number of cross-validation folds.")
@click.option("--queries", type=click.IntRange(1), help="Largest number of query images.")
@json_option
@trust_option
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
    """Tune search on the lake's own images, and save the result in lake.toml.

    --recall tunes ef, the candidate list size of each HNSW graph; --measure tunes the weights of a mix of features,
    which is saved only if it is significantly better than the best feature and than equal weights.
    """
    from imrec_core.evaluation.weight_tuning import check_mix_name
    from imrec_core.index.opening import open_generation
    from imrec_core.lake.lake import Lake

    if (recall is None) == (measure is None):
        raise click.UsageError("give one of --recall, --measure")
    refuse_several({"--labels": labels, "--naming": naming, "--copies": copies, "--recall": recall})
    if by and recall is not None:
        raise click.UsageError("--recall tunes the HNSW graphs of all features; leave out --by")
    generation = open_generation(Lake(lake))
    if recall is not None:
        _tune_ef(Lake(lake), generation, recall, queries, as_json)
        return
    check_mix_name(Lake(lake), name, generation.default_feature)
    task = _task(Lake(lake), generation, copies, labels, naming, by, queries)
    _tune_weights(Lake(lake), task, _CORE_MEASURES.get(measure or "", measure or ""), name, folds, as_json)


def _tune_ef(lake: "Lake", generation: "Generation", recall: float, queries: int | None, as_json: bool) -> None:
    from imrec_core.evaluation.ef_sweep import MAX_QUERIES, tune_ef

    with ProgressLine() as progress:
        chosen = tune_ef(lake, generation, recall, queries=queries or MAX_QUERIES, progress=progress)
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
    click.echo("saved in lake.toml; run: imrec build", err=True)


# -- weights ------------------------------------------------------------------------------------------------


def _task(
    lake: "Lake",
    generation: "Generation",
    copies: bool,
    labels: Path | None,
    naming: str | None,
    by: Sequence[str],
    queries: int | None,
) -> "TuningTask":
    from imrec_core.evaluation.tuning_tasks import MAX_PHOTOS, MAX_QUERIES, copies_task, labelled_task

    if copies:
        with ProgressLine() as progress:
            return copies_task(lake, generation, by=by, photos=queries or MAX_PHOTOS, progress=progress)
    return labelled_task(
        generation, find_labels(generation, lake, labels, naming), by=by, queries=queries or MAX_QUERIES
    )


def _tune_weights(lake: "Lake", task: "TuningTask", measure: str, name: str, folds: int, as_json: bool) -> None:
    from imrec_core.evaluation.weight_tuning import MEASURES, save_mix, tune_weights

    with ProgressLine() as progress:
        found = tune_weights(task, measure, folds=folds, progress=progress)
    is_better = found.gain.low > 0
    if is_better:
        save_mix(lake, name, found.weights)
    if as_json:
        click.echo(json.dumps({"name": name, "saved": is_better, **asdict(found)}))
    else:
        values = {f"mix:{name}, held out": found.held_out, "equal weights": found.equal, **found.alone}
        rows = [
            {"": by, MEASURES[measure]: str(value), "weight": found.weights.get(by)} for by, value in values.items()
        ]
        show(False, rows, list(rows[0]))
        click.echo(f"gain over {found.best_other}: {found.gain}, {found.gain.n} images")
    if is_better:
        click.echo(f"saved in lake.toml; search with: --by mix:{name}", err=True)
    else:
        click.echo(f"not saved: the mix is not significantly better than {found.best_other}", err=True)
