"""`imrec export`: rows and vectors for another tool."""

import json

import click

from imrec_core.lake import Lake
from imrec_core.run_log import note
from imrec_dagster.options import json_option, lake_option

_TARGETS = ("parquet", "csv", "faiss", "lance", "qdrant")  # a test holds them to those of the core, which loads slowly
_PART_ROWS = 100_000


@click.command()
@click.argument("out", metavar="OUT")
@click.option("--to", type=click.Choice(_TARGETS), required=True, help="What reads it.")
@click.option(
    "--by",
    multiple=True,
    metavar="FEATURE[:METRIC]",
    help="Vectors of these features alone; repeat for more. Default: all; for csv none.",
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
@json_option
@lake_option
def export(
    out: str,
    to: str,
    by: tuple[str, ...],
    where: str | None,
    part_rows: int,
    hnsw: bool,
    collection: str,
    api_key: str | None,
    as_json: bool,
    lake: str,
) -> None:
    """Write rows, vectors and metadata to the folder OUT, for another tool to search them.

    For qdrant OUT may be the URL of a server. The same command goes on where it stopped; after a new build, or with
    other options, what it wrote before is replaced. docs/export.md shows how to search there.
    """
    from imrec_core.export import export as export_to

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
        progress=lambda line: click.echo(line, err=True),
    )
    note(Lake(lake), "export", to, found.seconds, rows=found.rows, byte_size=found.byte_size)
    click.echo(json.dumps(found.to_dict(), ensure_ascii=False) if as_json else found.in_words())
