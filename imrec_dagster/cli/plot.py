"""The command that draws: what a search saw, how features are distributed, what is taken for what, what took long."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imrec_core.lake.lake import Lake
from imrec_dagster.cli.label_options import find_labels, labels_option, naming_option, refuse_several
from imrec_dagster.cli.options import lake_option
from imrec_dagster.cli.output import write_plot
from imrec_dagster.cli.query_argument import query_of

if TYPE_CHECKING:
    from imrec_core.search.query import Query

out_option = click.option(
    "-o", "--out", required=True, metavar="FILE", type=click.Path(path_type=Path, dir_okay=False),
    help="Where to write it: .png or .svg.",
)  # fmt: skip
where_option = click.option("--where", metavar="SQL", help="Condition over the rows, such as: source = 'holiday'")
k_option = click.option("-k", type=click.IntRange(1, 100), default=5, show_default=True, help="How many hits.")
by_option = click.option("--by", metavar="FEATURE[:METRIC]", help="By which feature.")


@click.group()
def plot() -> None:
    """Draw what was found and measured, as PNG or SVG.

    Elsewhere: pictures of hits by search --sheet and --explain; precision/recall and recall over ef by evaluate --plot.
    """


def _write(file: Path, draw: Callable[[str], bytes]) -> None:
    write_plot(file, draw, "--out")


@plot.command()
@click.argument("image")
@by_option
@k_option
@where_option
@out_option
@lake_option
def histograms(image: str, by: str | None, k: int, where: str | None, out: Path, lake: str) -> None:
    """IMAGE and its hits with their histograms, that of IMAGE as a line over each."""
    from imrec_core.evaluation.figures import plot_histograms
    from imrec_core.search.recommender import Recommender

    _write(out, lambda f: plot_histograms(Recommender.open(lake), _image(image), by, k=k, where=where, format=f))


@plot.command()
@click.argument("image")
@by_option
@k_option
@where_option
@out_option
@lake_option
def hashes(image: str, by: str | None, k: int, where: str | None, out: Path, lake: str) -> None:
    """IMAGE and its hits over their hashes as grids of bits, with those marked that differ."""
    from imrec_core.evaluation.figures import plot_hashes
    from imrec_core.search.recommender import Recommender

    _write(out, lambda f: plot_hashes(Recommender.open(lake), _image(image), by, k=k, where=where, format=f))


@plot.command()
@click.argument("image", required=False)
@click.option(
    "--by", multiple=True, metavar="FEATURE[:METRIC]", help="Repeat for several. Default: all; with IMAGE, the first."
)
@click.option(
    "--max-false-match-rate", type=float, default=0.001, show_default=True, metavar="RATE", help="Where to cut."
)
@k_option
@where_option
@out_option
@lake_option
def distances(
    image: str | None, by: tuple[str, ...], max_false_match_rate: float, k: int, where: str | None, out: Path, lake: str
) -> None:
    """How far random pairs are apart by each feature, where a cut is, and how far the hits of IMAGE are."""
    from imrec_core.evaluation.figures import plot_distances
    from imrec_core.search.recommender import Recommender

    if image is None and where:
        raise click.UsageError("--where chooses hits; give an IMAGE")
    asked = None if image is None else _image(image)
    how: dict[str, Any] = {"k": k, "rate": max_false_match_rate, "where": where}
    _write(out, lambda f: plot_distances(Recommender.open(lake), asked, by, **how, format=f))


@plot.command()
@click.argument("names", nargs=-1, metavar="[FEATURE | COLUMN]...")
@out_option
@lake_option
def values(names: tuple[str, ...], out: Path, lake: str) -> None:
    """How the values of features are distributed, all of them by default, or of columns such as brightness."""
    from imrec_core.evaluation.figures import plot_values
    from imrec_core.index.generation import open_generation

    _write(out, lambda f: plot_values(open_generation(Lake(lake)), names, format=f))


@plot.command()
@by_option
@labels_option
@naming_option
@click.option("-k", type=click.IntRange(1), default=5, show_default=True, help="How many of the nearest count.")
@click.option("--queries", type=click.IntRange(1), help="Images that are asked with, at most.")
@out_option
@lake_option
def confusion(
    by: str | None, labels: Path | None, naming: str | None, k: int, queries: int | None, out: Path, lake: str
) -> None:
    """Which labels are taken for which: of what label the nearest images are. Folders are labels by default."""
    from imrec_core.evaluation.figures import plot_confusion
    from imrec_core.evaluation.retrieval import MAX_QUERIES
    from imrec_core.index.generation import open_generation

    refuse_several({"--labels": labels, "--naming": naming})
    generation = open_generation(Lake(lake))
    found = find_labels(generation, Lake(lake), labels, naming)
    _write(out, lambda f: plot_confusion(generation, found, by, k=k, queries=queries or MAX_QUERIES, format=f))


@plot.command()
@click.option("--last", type=click.IntRange(1, 100), default=12, show_default=True, help="Of each kind, at most.")
@out_option
@lake_option
def stages(last: int, out: Path, lake: str) -> None:
    """How long the last builds and searches took, stage by stage."""
    from imrec_core.evaluation.figures import plot_stages

    _write(out, lambda f: plot_stages(Lake(lake), last=last, format=f))


def _image(word: str) -> "Query":
    """A file, or the image_id of one in the lake."""
    return query_of(word)[0]
