"""`imrec search --each`: an answer for each image, as lines of JSON or as a table in Parquet, while they come."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
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

    Answer = tuple[str, "Hits | ImageError"]


def answers(
    recommender: "Recommender", names: Sequence[str], queries: "Iterable[Query]", how: dict[str, Any]
) -> "Iterator[Answer]":
    """The name of each query with its hits, or with why there are none; says at the end how many failed."""
    failed = 0
    for name, answer in zip(names, recommender.search_each(queries, **how), strict=True):
        failed += isinstance(answer, ImageError)
        yield escaped(name), answer
    if failed:
        click.echo(f"{failed} images could not be read; they have an error instead of hits", err=True)


def in_words(error: ImageError) -> str:
    return escaped(f"{type(error).__name__}: {error}")


def json_lines(found: "Iterable[Answer]") -> Iterator[str]:
    for name, answer in found:
        rest = {"error": in_words(answer)} if isinstance(answer, ImageError) else answer.to_dict()
        yield json.dumps({"query": name, **rest}, ensure_ascii=False)


def write_parquet(file: Path, found: "Iterable[Answer]") -> None:
    """A row for each hit, and one without a hit for a query that has none; there once it is whole."""
    import pyarrow.parquet as pq

    unfinished = file.with_name(f".{file.name}.writing")
    try:
        with unfinished.open("wb") as sink, ExitStack() as opened:  # before anything is searched for
            writer = None
            for table in _tables(found):
                writer = writer or opened.enter_context(pq.ParquetWriter(sink, table.schema, compression="zstd"))
                writer.write_table(table)
        unfinished.replace(file)
    except OSError as error:
        raise click.BadParameter(f"cannot write {file}: {error.strerror or error}", param_hint="--parquet") from error
    finally:
        with suppress(OSError):  # it is not there, or never could be
            unfinished.unlink()


_TOGETHER = 1000  # queries in a row group


def _tables(found: "Iterable[Answer]") -> "Iterator[pa.Table]":
    """Tables of one schema; which features there are is known from the first answer that is no error."""
    import pyarrow as pa

    waiting: list[Answer] = []
    features: tuple[str, ...] | None = None
    for name, answer in found:
        waiting.append((name, answer))
        if features is None and not isinstance(answer, ImageError):
            features = answer.features
        if features is not None and len(waiting) >= _TOGETHER:
            yield pa.concat_tables([_rows(*one, features) for one in waiting])
            waiting.clear()
    if waiting:
        yield pa.concat_tables([_rows(*one, features or ()) for one in waiting])


def _rows(name: str, answer: "Hits | ImageError", features: tuple[str, ...]) -> "pa.Table":
    import pyarrow as pa

    from imrec_core.search.hits import Hits

    hits, error = (
        (Hits((), "", "", features=features), in_words(answer)) if isinstance(answer, ImageError) else (answer, None)
    )
    table = hits.to_arrow()
    if not len(table):
        table = pa.table([pa.nulls(1, field.type) for field in table.schema], schema=table.schema)
    table = table.add_column(0, "query", pa.array([name] * len(table), pa.string()))
    return table.append_column("error", pa.array([error] * len(table), pa.string()))
