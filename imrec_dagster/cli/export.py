"""`imrec export`: rows, vectors, images and neighbours for another tool."""

import json

import click

from imrec_dagster.cli.help import examples
from imrec_dagster.cli.options import json_option, lake_option
from imrec_dagster.cli.progress_line import ProgressLine

_TARGETS = (
    "parquet",
    "csv",
    "faiss",
    "lance",
    "qdrant",
)  # repeated here, as importing the core is slow; a test compares
_VIEWERS = ("projector", "atlas", "graphml")  # likewise
_PART_ROWS = 100_000


@click.command(
    short_help="Write rows and vectors for other tools",
    epilog=examples("imrec export vectors --to parquet --by efficientnet_lite0"),
)
@click.argument("out", metavar="OUT")
@click.option("--to", type=click.Choice((*_TARGETS, *_VIEWERS)), required=True, help="Format or tool to write for.")
@click.option(
    "--by",
    multiple=True,
    metavar="FEATURE[:METRIC]",
    help="Features whose vectors to write; repeatable. Default: all; none for csv. A viewer takes one feature.",
)
@click.option("--where", metavar="SQL", help="SQL condition over the rows. Default: all images.")
@click.option(
    "--part-rows",
    type=click.IntRange(min=1),
    default=_PART_ROWS,
    show_default=True,
    help="Rows per file; an interrupted export keeps its complete files.",
)
@click.option("--hnsw", is_flag=True, help="faiss: HNSW indexes instead of flat ones; built in memory.")
@click.option(
    "--collection", default="imrec", show_default=True, metavar="NAME", help="qdrant: name of the collection."
)
@click.option(
    "--api-key", envvar="QDRANT_API_KEY", metavar="KEY", help="qdrant: API key of a server (or QDRANT_API_KEY)."
)
@click.option("--map", "on", metavar="NAME", help="projector, atlas, graphml: map to show; see: imrec map --list.")
@click.option(
    "--rows", type=int, metavar="N", help="projector, atlas, graphml: largest number of images; a sample of more."
)
@click.option(
    "--neighbours", type=int, metavar="N", help="atlas, graphml: nearest neighbours of each image. Default: 10."
)
@json_option
@lake_option
@click.pass_context
def export(
    context: click.Context,
    out: str,
    to: str,
    by: tuple[str, ...],
    where: str | None,
    part_rows: int,
    hnsw: bool,
    collection: str,
    api_key: str | None,
    on: str | None,
    rows: int | None,
    neighbours: int | None,
    as_json: bool,
    lake: str,
) -> None:
    """Write rows, vectors and metadata to the folder OUT, for search or display in another tool.

    For qdrant OUT may be the URL of a server. After an interruption the same command continues. After a new build, or
    with other options, it replaces what it wrote before. docs/guides/export.md shows how to search there and how to
    open it.
    """
    from imrec_core.lake.lake import Lake
    from imrec_core.lake.run_log import note

    is_viewer = to in _VIEWERS
    _refuse(context, to, ("part_rows", "hnsw", "collection") if is_viewer else ("on", "rows", "neighbours"))
    if is_viewer and len(by) > 1:
        raise click.UsageError(f"--by: {to} shows one feature; name one")
    from imrec_core.export import export as export_to
    from imrec_core.export import export_view

    with ProgressLine("reading the lake") as progress:
        if is_viewer:
            given = {"neighbours": neighbours} if neighbours is not None else {}
            feature = by[0] if by else None
            found = export_view(
                Lake(lake), out, to, by=feature, where=where, rows=rows, on=on, progress=progress, **given
            )
        else:
            found = export_to(
                Lake(lake),
                out,
                to,
                by=by or None,
                where=where,
                part_rows=part_rows,
                hnsw=hnsw,
                collection=collection,
                api_key=api_key,
                progress=progress,
            )
    note(Lake(lake), "export", to, found.seconds, rows=found.rows, byte_size=found.byte_size)
    click.echo(json.dumps(found.to_dict(), ensure_ascii=False) if as_json else found.summary())


def _refuse(context: click.Context, to: str, names: tuple[str, ...]) -> None:
    """Raise `click.UsageError` for an option that the target does not use."""
    for parameter in context.command.params:
        is_default = context.get_parameter_source(parameter.name or "") is not click.core.ParameterSource.COMMANDLINE
        if parameter.name in names and not is_default:
            raise click.UsageError(f"{to} does not use {parameter.opts[0]}; leave it out")
