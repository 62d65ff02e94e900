"""`imrec search --each`: a result per query image, streamed as lines of JSON or into a Parquet file."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imrec_core.errors import ImageError
from imrec_core.runtime.text import escaped

if TYPE_CHECKING:
    import pyarrow as pa

    from imrec_core.search.hits import Hits
    from imrec_core.search.query import Query
    from imrec_core.search.recommender import Recommender

    NamedResult = tuple[str, "Hits | ImageError"]


def search_all(
    recommender: "Recommender",
    names: Sequence[str],
    queries: "Iterable[Query]",
    how: dict[str, Any],
    *,
    quiet: bool = False,
) -> "Iterator[NamedResult]":
    """Yield the name of each query with its hits or its error; print at the end how many failed, unless quiet."""
    failed = 0
    for name, result in zip(names, recommender.search_each(queries, **how), strict=True):
        failed += isinstance(result, ImageError)
        yield escaped(name), result
    if failed and not quiet:
        click.echo(f"{failed} images could not be read; they have an error instead of hits", err=True)


def format_error(error: ImageError) -> str:
    """Format an error as its class name and message, on one line."""
    return escaped(f"{type(error).__name__}: {error}")


def json_lines(results: "Iterable[NamedResult]") -> Iterator[str]:
    """Yield a line of JSON per query."""
    for name, result in results:
        rest = {"error": format_error(result)} if isinstance(result, ImageError) else result.to_dict()
        yield json.dumps({"query": name, **rest}, ensure_ascii=False)


def write_parquet(file: Path, results: "Iterable[NamedResult]") -> None:
    """Write a row per hit, and a row of nulls for a query without hits; replace the file once it is complete."""
    import pyarrow.parquet as pq

    from imrec_core.lake.storage.files import moved_into_place

    try:
        with (
            moved_into_place(file) as unfinished,
            unfinished.open("wb") as sink,  # before anything is searched for
            ExitStack() as stack,
        ):
            writer = None
            for table in _tables(results):
                writer = writer or stack.enter_context(pq.ParquetWriter(sink, table.schema, compression="zstd"))
                writer.write_table(table)
    except OSError as error:
        raise click.BadParameter(f"cannot write {file}: {error.strerror or error}", param_hint="--parquet") from error


_GROUP_QUERIES = 1000  # queries in a row group


def _tables(results: "Iterable[NamedResult]") -> "Iterator[pa.Table]":
    """Yield tables of one schema; its features are those of the first result without an error."""
    import pyarrow as pa

    pending: list[NamedResult] = []
    features: tuple[str, ...] | None = None
    for name, result in results:
        pending.append((name, result))
        if features is None and not isinstance(result, ImageError):
            features = result.features
        if features is not None and len(pending) >= _GROUP_QUERIES:
            yield pa.concat_tables([_rows(*one, features) for one in pending])
            pending.clear()
    if pending:
        yield pa.concat_tables([_rows(*one, features or ()) for one in pending])


def _rows(name: str, result: "Hits | ImageError", features: tuple[str, ...]) -> "pa.Table":
    import pyarrow as pa

    from imrec_core.search.hits import Hits

    hits, error = (
        (Hits((), "", "", features=features), format_error(result))
        if isinstance(result, ImageError)
        else (result, None)
    )
    table = hits.to_arrow()
    if not len(table):
        table = pa.table([pa.nulls(1, field.type) for field in table.schema], schema=table.schema)
    table = table.add_column(0, "query", pa.array([name] * len(table), pa.string()))
    return table.append_column("error", pa.array([error] * len(table), pa.string()))
