"""`imrec plot`: plots of search results, distances, values, confusions and timings.

Other plots belong to their commands: `search --sheet` and `--explain`, `evaluate --plot`, `map --picture`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imrec_dagster.cli.completion import complete_features, complete_files
from imrec_dagster.cli.help import examples
from imrec_dagster.cli.label_options import find_labels, labels_option, naming_option, refuse_several
from imrec_dagster.cli.options import lake_option
from imrec_dagster.cli.output import write_plot
from imrec_dagster.cli.progress_line import ProgressLine
from imrec_dagster.cli.query_argument import parse_query

if TYPE_CHECKING:
    from imrec_core.search.query import Query

out_option = click.option(
    "-o", "--out", required=True, metavar="FILE", type=click.Path(path_type=Path, dir_okay=False),
    help="File to write: .png or .svg.",
)  # fmt: skip
where_option = click.option("--where", metavar="SQL", help="Condition over the rows, such as: source = 'holiday'")
k_option = click.option(
    "-k", "-n", "--limit", "k", type=click.IntRange(1, 100), default=5, show_default=True, help="Number of hits."
)
by_option = click.option("--by", metavar="FEATURE[:METRIC]", shell_complete=complete_features, help="Feature to plot.")


@click.group(
    short_help="Plot search results and measurements",
    epilog=examples("imrec plot hashes photo.jpg --by phash -o hashes.png"),
)
def plot() -> None:
    """Plot search results and measurements, as PNG or SVG.

    Other plots: hits by search --sheet and --explain; precision/recall and recall over ef by evaluate --plot.
    """


def _write(file: Path, draw: Callable[[str], bytes]) -> None:
    with ProgressLine("plotting"):
        write_plot(file, draw, "--out")


@plot.command(
    short_help="Plot the histograms of an image and its hits",
    epilog=examples("imrec plot histograms photo.jpg -o histograms.png"),
)
@click.argument("image", shell_complete=complete_files)
@by_option
@k_option
@where_option
@out_option
@lake_option
def histograms(image: str, by: str | None, k: int, where: str | None, out: Path, lake: str) -> None:
    """Plot the histograms of IMAGE and its hits, that of IMAGE as a line over each."""
    from imrec_core.evaluation.figures import plot_histograms
    from imrec_core.search.recommender import Recommender

    _write(out, lambda f: plot_histograms(Recommender.open(lake), _query(image), by, k=k, where=where, format=f))


@plot.command(
    short_help="Plot the hashes of an image and its hits",
    epilog=examples("imrec plot hashes photo.jpg --by phash -o hashes.png"),
)
@click.argument("image", shell_complete=complete_files)
@by_option
@k_option
@where_option
@out_option
@lake_option
def hashes(image: str, by: str | None, k: int, where: str | None, out: Path, lake: str) -> None:
    """Plot the hashes of IMAGE and its hits as grids of bits, and mark the bits that differ."""
    from imrec_core.evaluation.figures import plot_hashes
    from imrec_core.search.recommender import Recommender

    _write(out, lambda f: plot_hashes(Recommender.open(lake), _query(image), by, k=k, where=where, format=f))


@plot.command(
    short_help="Plot the distances of random pairs and of hits",
    epilog=examples("imrec plot distances photo.jpg -o distances.svg"),
)
@click.argument("image", required=False, shell_complete=complete_files)
@click.option(
    "--by",
    multiple=True,
    metavar="FEATURE[:METRIC]",
    help="Features to plot; repeatable. Default: all; with IMAGE, the first.",
)
@click.option(
    "--max-false-match-rate",
    type=float,
    default=0.001,
    show_default=True,
    metavar="RATE",
    help="Score threshold to mark.",
)
@k_option
@where_option
@out_option
@lake_option
def distances(
    image: str | None, by: tuple[str, ...], max_false_match_rate: float, k: int, where: str | None, out: Path, lake: str
) -> None:
    """Plot the distances of random pairs by each feature, a score threshold, and the distances of hits of IMAGE."""
    from imrec_core.evaluation.figures import plot_distances
    from imrec_core.search.recommender import Recommender

    if image is None and where:
        raise click.UsageError("--where chooses hits; give an IMAGE")
    query = None if image is None else _query(image)
    how: dict[str, Any] = {"k": k, "rate": max_false_match_rate, "where": where}
    _write(out, lambda f: plot_distances(Recommender.open(lake), query, by, **how, format=f))


@plot.command(
    short_help="Plot the distribution of values of features",
    epilog=examples("imrec plot values hsv_histogram -o values.png"),
)
@click.argument("names", nargs=-1, metavar="[FEATURE | COLUMN]...")
@out_option
@lake_option
def values(names: tuple[str, ...], out: Path, lake: str) -> None:
    """Plot the distribution of values of features (default: all), or of columns such as brightness."""
    from imrec_core.evaluation.figures import plot_values
    from imrec_core.index.opening import open_generation
    from imrec_core.lake.lake import Lake

    _write(out, lambda f: plot_values(open_generation(Lake(lake)), names, format=f))


@plot.command(
    short_help="Plot a confusion matrix of labels",
    epilog=examples("imrec plot confusion --by efficientnet_lite0 -o confusion.png"),
)
@by_option
@labels_option
@naming_option
@click.option("-k", type=click.IntRange(1), default=5, show_default=True, help="Number of nearest neighbours to count.")
@click.option("--queries", type=click.IntRange(1), help="Largest number of query images.")
@out_option
@lake_option
def confusion(
    by: str | None, labels: Path | None, naming: str | None, k: int, queries: int | None, out: Path, lake: str
) -> None:
    """Plot a confusion matrix: the labels of the nearest neighbours. By default folders are labels."""
    from imrec_core.evaluation.figures import plot_confusion
    from imrec_core.evaluation.retrieval import MAX_QUERIES
    from imrec_core.index.opening import open_generation
    from imrec_core.lake.lake import Lake

    refuse_several({"--labels": labels, "--naming": naming})
    generation = open_generation(Lake(lake))
    known = find_labels(generation, Lake(lake), labels, naming)
    _write(out, lambda f: plot_confusion(generation, known, by, k=k, queries=queries or MAX_QUERIES, format=f))


@plot.command(
    short_help="Plot the durations of builds and searches, by stage", epilog=examples("imrec plot stages -o stages.png")
)
@click.option(
    "--last", type=click.IntRange(1, 100), default=12, show_default=True, help="Largest number of runs of each kind."
)
@out_option
@lake_option
def stages(last: int, out: Path, lake: str) -> None:
    """Plot the durations of the last builds and searches, by stage."""
    from imrec_core.evaluation.stage_figure import plot_stages
    from imrec_core.lake.lake import Lake

    _write(out, lambda f: plot_stages(Lake(lake), last=last, format=f))


def _query(word: str) -> "Query":
    """Parse a file or the image_id of an image in the lake."""
    return parse_query(word)[0]
