"""`imrec search`: find the images most similar to a query.

Output is in `search_output.py`, `--each` in `search_each.py`.
"""

import glob
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imrec_core.errors import EmptyQuery
from imrec_core.lake.storage.downloads import is_web_url
from imrec_core.runtime.text import escaped
from imrec_core.runtime.timing import record_timings
from imrec_dagster.cli.completion import complete_features, complete_files
from imrec_dagster.cli.help import examples
from imrec_dagster.cli.options import json_option, lake_option, null_option, paths_option, quiet_option, trust_option
from imrec_dagster.cli.progress_line import ProgressLine
from imrec_dagster.cli.query_argument import exists, parse_query, short_name
from imrec_dagster.cli.search_each import json_lines, search_all, write_parquet

if TYPE_CHECKING:
    from imrec_core.lake.lake import Lake
    from imrec_core.search.hits import Hits
    from imrec_core.search.query import Query
    from imrec_core.search.recommender import Recommender
    from imrec_dagster.cli.search_each import NamedResult
    from imrec_dagster.cli.search_output import SearchOutput


@click.command(
    short_help="Find the images most similar to an image or a text",
    epilog=examples(
        "imrec search photo.jpg --by efficientnet_lite0 --by hsv_histogram=0.5",
        "imrec search photo.jpg - other.jpg --where 'width >= 800' -n 20 -o hits.png",
    ),
)
@click.argument(
    "images", nargs=-1, required=True, metavar="IMAGE... [+ IMAGE...] [- IMAGE...]", shell_complete=complete_files
)
@click.option(
    "-k",
    "-n",
    "--limit",
    "k",
    type=int,
    help="Number of hits. Default: 5; with --max-distance all within the distance, up to 10,000.",
)
@click.option(
    "--by",
    multiple=True,
    metavar="FEATURE[:METRIC][=WEIGHT]",
    shell_complete=complete_features,
    help="Feature to search by, or mix:NAME; repeat to combine. Default: the lake's first feature.",
)
@click.option(
    "--unlike",
    multiple=True,
    metavar="[WEIGHT:]IMAGE",
    help="Negative example: images that are closer to it than to the others rank lower; repeatable.",
)
@click.option(
    "--pool",
    default="mean",
    show_default=True,
    help="How to combine several query images: mean (average vector), best (best score), or all (near to each).",
)
@click.option(
    "--fuse",
    default="score",
    show_default=True,
    help="How to combine features: score (weighted sum of calibrated scores), rrf (reciprocal rank fusion), or dbsf "
    "(distribution-based score fusion).",
)
@click.option(
    "--max-false-match-rate",
    type=float,
    metavar="RATE",
    help="Score threshold: only hits as near as this share of random pairs of images.",
)
@click.option(
    "--max-distance",
    type=float,
    metavar="DISTANCE",
    help="Only hits within this distance by the only feature, such as 31 for pdq; compares with every image.",
)
@click.option("--where", metavar="SQL", help="Condition over the rows, such as: width >= 800 AND source = 'holiday'")
@click.option("--order-by", metavar="SQL", help="Order of the hits, such as: taken DESC")
@click.option("--distinct", metavar="content", help="Keep only one of several files with the same bytes.")
@click.option(
    "--diversify", type=float, default=0.0, metavar="0..1", help="Diversity of the hits (maximal marginal relevance)."
)
@click.option(
    "--exact", is_flag=True, help="Compare with every image instead of using the HNSW index; slower, recall 100 %."
)
@click.option("--with-self", is_flag=True, help="Keep the query itself, or a file with the same bytes, among the hits.")
@click.option(
    "--expand",
    type=int,
    default=0,
    metavar="N",
    help="Average the query with up to N surely related images first: finds more of the same kind, by a network.",
)
@click.option(
    "--each", is_flag=True, help="Search for each image, folder or glob separately; print a line of JSON per file."
)
@click.option(
    "--parquet", type=click.Path(dir_okay=False), metavar="FILE", help="Write the results of --each to this file."
)
@click.option(
    "-o",
    "--sheet",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Write a contact sheet of the query and its hits, as PNG or another format that Pillow writes.",
)
@click.option(
    "--explain", type=click.Path(file_okay=False), metavar="FOLDER", help="Write a plot that explains each hit."
)
@click.option(
    "--link",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Fill a new or empty folder with symbolic links to the hits, named by rank. A later search with the same "
    "folder replaces them.",
)
@paths_option("the full paths of the hits")
@null_option
@quiet_option
@click.option("-v", "--verbose", is_flag=True, help="Print the query plan and the time of each stage to stderr.")
@json_option
@trust_option
@lake_option
def search(
    images: tuple[str, ...],
    by: tuple[str, ...],
    unlike: tuple[str, ...],
    each: bool,
    parquet: str | None,
    verbose: bool,
    lake: str,
    **options: Any,
) -> None:
    """Find the images most similar to IMAGE: a file, a URL, the image_id of one in the lake, or "text:words".

    Several images are combined; 0.5:IMAGE counts half. Images after a - are negative examples, until a + follows.
    As the first word, - is the image on standard input. IMAGE#X,Y,W,H searches for a part of IMAGE: four whole numbers
    are pixels, numbers with a point are fractions of its size.
    """
    from imrec_core.search.feature_weights import parse_weights
    from imrec_core.search.recommender import Recommender
    from imrec_core.search.request import SearchOptions
    from imrec_dagster.cli.search_output import SearchOutput

    output = SearchOutput(**{field.name: options.pop(field.name) for field in fields(SearchOutput)})
    output.refuse_conflicts(verbose=verbose)
    how: dict[str, Any] = options | {"by": parse_weights(by)}
    started = time.perf_counter()
    recommender = Recommender.open(lake, log_as=None)  # logged below, with its words
    opened = time.perf_counter()
    k = SearchOptions(how["k"], max_distance=how["max_distance"]).k
    like_words, unlike_words = _split_sides(images)
    likes, unlikes = ([parse_query(word) for word in words] for words in (like_words, [*unlike_words, *unlike]))
    if each:
        _refuse_with_each(output, how, is_more=verbose or bool(unlikes))
        names = _expand(like_words, recommender.lake)
        _show_each(recommender, names, how, parquet, output.quiet)
        used = list(how["by"] or [recommender.generation_in_use.default_feature])
        _log(recommender, f"each of {len(names)}", len(names), started, opened, features=used, k=k)
        return
    _refuse_folders([name for name, _ in (*likes, *unlikes)])
    if parquet:
        raise click.UsageError("--parquet needs --each; use --json for one search")
    if output.link:
        from imrec_dagster.cli.links import check_folder

        check_folder(output.link, recommender.lake.settings().sources)
    with ProgressLine("searching", quiet=output.quiet), record_timings() as seconds:
        hits = recommender.search(like=likes, unlike=unlikes, **how)
    how_found: dict[str, Any] = {"features": hits.features, "k": k, "plan": hits.plan}
    _log(recommender, " ".join(images), len(hits), started, opened, seconds, **how_found)
    if verbose:
        _show_plan(hits, {"open": opened - started} | seconds)
    title = _sheet_title(like_words, [*unlike_words, *unlike], how["where"])
    none_left = "no image left to compare with" if how["max_distance"] is None else "no image within the distance"
    output.write(hits, title, none_left)


def _sheet_title(likes: Sequence[str], unlikes: Sequence[str], where: str | None) -> str:
    """Return the heading of a contact sheet; its second line, by `Hits.section`, has the features."""
    title = f"Most similar to {', '.join(map(short_name, likes))}"
    if unlikes:
        title += f", less like {', '.join(map(short_name, unlikes))}"
    return f"{title}, where {where}" if where else title


def _refuse_with_each(output: "SearchOutput", how: dict[str, Any], *, is_more: bool) -> None:
    """Raise `click.UsageError` for options that need one search; remove `pool`, as one image has nothing to pool."""
    pool = how.pop("pool")
    if output.sheet or output.explain or output.link or output.only_paths or is_more or pool != "mean":
        raise click.UsageError(
            "--each searches for each image separately; "
            "leave out --sheet, --explain, --link, --paths, --null, --verbose, --unlike, - and --pool"
        )


def _show_each(
    recommender: "Recommender", names: Sequence[str], how: dict[str, Any], parquet: str | None, quiet: bool
) -> None:
    results = search_all(recommender, names, (parse_query(name)[0] for name in names), how, quiet=quiet)
    # Lines of JSON in a terminal are progress enough.
    with ProgressLine(quiet=quiet or (parquet is None and sys.stdout.isatty())) as progress:
        counted = _count(results, len(names), progress)
        if parquet:
            write_parquet(Path(parquet), counted)
            return
        for line in json_lines(counted):
            click.echo(line)


def _count(results: "Iterable[NamedResult]", total: int, progress: ProgressLine) -> "Iterator[NamedResult]":
    """Yield the results, and say how many of the images were searched for."""
    for count, result in enumerate(results):
        progress.wait_for(f"{count} of {total} images searched for")
        yield result


def _log(
    recommender: "Recommender",
    query: str,
    rows: int,
    started: float,
    opened: float,
    seconds: Mapping[str, float] | None = None,
    *,
    features: Sequence[str],
    k: int | None,
    plan: str | None = None,
) -> None:
    """Record the duration of the search in the run log, by stage; output such as a contact sheet does not count."""
    from imrec_core.features.feature_metric import FeatureMetric
    from imrec_core.lake.run_log import note

    ended = time.perf_counter()
    of_search = {**seconds, "other": ended - opened - sum(seconds.values())} if seconds else {"search": ended - opened}
    stages = {name: round(took, 4) for name, took in {"open": opened - started, **of_search}.items()}
    find_feature = recommender.generation_in_use.feature
    pairs = [name if name.startswith("mix:") else str(FeatureMetric.parse(name, find_feature)) for name in features]
    how = {"features": pairs, "k": k, "plan": plan}
    note(recommender.lake, "search", escaped(query), ended - started, rows=rows, stages=stages, **how)


def _show_plan(hits: "Hits", seconds: Mapping[str, float]) -> None:
    """Print features, plan and generation, and the seconds of "open" and the stages of `imrec_core.runtime.timing`."""
    click.echo(f"by {', '.join(hits.features)}: {hits.plan}; generation {hits.generation}", err=True)
    click.echo(", ".join(f"{name} {took * 1000:.1f} ms" for name, took in seconds.items()), err=True)


def _split_sides(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split `a.jpg + 0.5:b.jpg - c.jpg` into the words of likes and of unlikes; `-` as the first word is a like."""
    likes: list[str] = list(words[:1]) if words[0] == "-" else []
    unlikes: list[str] = []
    into = likes
    for word in words[len(likes) :]:
        if word in ("+", "-"):
            into = likes if word == "+" else unlikes
        else:
            into.append(word)
    return likes, unlikes


def _refuse_folders(queries: "Sequence[Query]") -> None:
    for name in queries:
        if isinstance(name, Path) and name.is_dir():
            raise click.UsageError(f"{name} is a folder; with --each every image in it is a query")


def _expand(words: Sequence[str], lake: "Lake") -> list[str]:
    """Replace folders and globs by the images in them, in the order of their names."""
    found: list[str] = []
    for word in words:
        inside = [word]
        if Path(word).is_dir():
            from imrec_core.catalog.scan import find_images

            inside = [str(path) for path in find_images(Path(word), lake.settings())]
        elif glob.has_magic(word) and not exists(word) and not is_web_url(word):
            inside = sorted(glob.glob(word, recursive=True))
        if not inside:
            raise EmptyQuery(f"{word}: holds no image to search for")
        found += inside
    return found
