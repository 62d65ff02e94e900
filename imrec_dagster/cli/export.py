"""`imrec export`: rows, vectors, pictures and neighbours for another tool."""

import json

import click

from imrec_core.lake.lake import Lake
from imrec_core.lake.run_log import note
from imrec_dagster.cli.options import json_option, lake_option

_TARGETS = ("parquet", "csv", "faiss", "lance", "qdrant")  # a test holds them to those of the core, which loads slowly
_VIEWERS = ("projector", "atlas", "graphml")  # likewise
_PART_ROWS = 100_000


@click.command()
@click.argument("out", metavar="OUT")
@click.option("--to", type=click.Choice((*_TARGETS, *_VIEWERS)), required=True, help="What reads it.")
@click.option(
    "--by",
    multiple=True,
    metavar="FEATURE[:METRIC]",
    help="Vectors of these features alone; repeat for more. Default: all; for csv none. For a viewer one feature.",
)
@click.option("--where", metavar="SQL", help="Images for which a condition over the rows holds; else all.")
@click.option(
    "--part-rows",
    type=click.IntRange(min=1),
    default=_PART_ROWS,
    show_default=True,
    help="Rows in a file; what is done when interrupted is kept in units of these.",
)
@click.option("--hnsw", is_flag=True, help="faiss: graphs instead of flat indexes; they are built in memory.")
@click.option("--collection", default="imrec", show_default=True, metavar="NAME", help="qdrant: its collection.")
@click.option("--api-key", envvar="QDRANT_API_KEY", metavar="KEY", help="qdrant: for a server (or QDRANT_API_KEY).")
@click.option(
    "--map", "on", metavar="NAME", help="projector, atlas, graphml: the map that it shows; see: imrec map --list."
)
@click.option("--rows", type=int, metavar="N", help="projector, atlas, graphml: images at most, a sample of more.")
@click.option("--neighbours", type=int, metavar="N", help="atlas, graphml: nearest images of each; 10 by default.")
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
    """Write rows, vectors and metadata to the folder OUT, for another tool to search or to show them.

    For qdrant OUT may be the URL of a server. The same command goes on where it stopped; after a new build, or with
    other options, what it wrote before is replaced. docs/export.md shows how to
    search there, or to look at it.
    """
    is_viewer = to in _VIEWERS
    _refuse(context, to, ("part_rows", "hnsw", "collection") if is_viewer else ("on", "rows", "neighbours"))
    if is_viewer and len(by) > 1:
        raise click.UsageError(f"{to} shows one feature; name one with --by")
    from imrec_core.export import export as export_to
    from imrec_core.export import export_view

    def progress(line: str) -> None:
        click.echo(line, err=True)

    if is_viewer:
        given = {"neighbours": neighbours} if neighbours is not None else {}
        feature = by[0] if by else None
        found = export_view(Lake(lake), out, to, by=feature, where=where, rows=rows, on=on, progress=progress, **given)
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
    """Refuse options that a target has no use for."""
    for parameter in context.command.params:
        is_default = context.get_parameter_source(parameter.name or "") is not click.core.ParameterSource.COMMANDLINE
        if parameter.name in names and not is_default:
            raise click.UsageError(f"{to} has no use for {parameter.opts[0]}")
