"""Terms that images of a map have: folders, tags, values of columns and words, counted in each cluster."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from imrec_core.index.exact_search import Rows
from imrec_core.index.generation import Generation
from imrec_core.lake import schemas

FOLDER, TAG, CAMERA, SOURCE, FILE_NAME = "folder", "tag", "camera", "source", "file name"

_LONGEST = 60  # characters of a value; longer ones are texts, of which only words are terms
_TEXT_SPACES = 2  # mean number of spaces in the values of a column, from which its words are terms too
_SAMPLED = 1_000  # values of a column to decide that
_WORD = r"[\p{L}\p{M}]{3,}"

# Frequent words of English, German and French, and what cameras and programs call their files.
_STOP_WORDS = (
    "the and for with from this that are was were has have had his her its their they them not but you your our out "
    "one two can all some into onto over under near next there where which while what when than then very "
    "der die das und ein eine einen einem einer mit von vom auf aus bei zum zur den dem des ist sind war nicht "
    "les une est dans sur avec pour par aux qui que son ses "
    "img imgp dsc dscn dscf dscx pxl mvi pict image images photo photos picture pictures copy copies file untitled"
)


def count_terms(generation: Generation, rows: Rows, cluster: pl.Series) -> pl.DataFrame:
    """Count the images that have a term, in each cluster and on the whole map.

    Args:
        rows: Rows of the images of the map, `(n,)`.
        cluster: Cluster of each of them, `(n,)`; -1 for none.

    Returns:
        A row for each `cluster`, `by` (`folder`, `tag`, `file name`, `source` or a column), `is_word` and `text`, with
        the number of images `here` and on the map, `everywhere`.
    """
    counted = [
        _sum_up(pairs).with_columns(by=pl.lit(by), is_word=pl.lit(is_word))
        for by, is_word, pairs in _pairs(generation, rows, cluster.rename("cluster"))
    ]
    return pl.concat(counted)


def _sum_up(pairs: pl.DataFrame) -> pl.DataFrame:
    """Sum up counts of `cluster` and `text`, and over all clusters."""
    summed = pairs.group_by("cluster", "text").agg(pl.col("here").sum().cast(pl.Int64))
    return summed.with_columns(everywhere=pl.col("here").sum().over("text"))


def _pairs(generation: Generation, rows: Rows, cluster: pl.Series) -> Iterator[tuple[str, bool, pl.DataFrame]]:
    """Yield kinds of terms, whether they are words of a text, and their counts by cluster and text, to be summed up."""

    def column(name: str) -> pl.Series:
        return pl.Series("text", generation.columns(name)[name].take(pa.array(rows)))

    path = column("path")
    sources = column("source")
    folders = path.str.extract("(?s)^(.*)/[^/]*$")
    yield FOLDER, False, _with_parents(_count(cluster, folders))
    stem = path.str.extract(r"(?s)([^/]*?)(?:\.[^./]*)?$")
    yield FILE_NAME, True, _count_words(cluster, stem)
    yield SOURCE, False, _count(cluster, sources)
    yield CAMERA, False, _count(cluster, column("camera"))
    tagged = _tagged(generation, cluster, column("content_hash"))
    if tagged is not None:
        yield TAG, False, tagged
    for name, is_list in _user_columns(generation):
        values = column(name)
        if is_list:
            yield name, False, _count_lists(cluster, values)
            continue
        values = values.cast(pl.String).str.strip_chars()
        yield name, False, _count(cluster, values.set(values.str.len_chars() > _LONGEST, None))
        if _is_text(values):
            yield name, True, _count_words(cluster, values)


def _user_columns(generation: Generation) -> Iterator[tuple[str, bool]]:
    """Yield the user columns of texts, and whether they have lists of them."""
    for field in pq.read_schema(generation.rows_path):
        kind = field.type
        is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind)
        value = kind.value_type if is_list or pa.types.is_dictionary(kind) else kind
        if field.name not in schemas.ROWS.names and (pa.types.is_string(value) or pa.types.is_large_string(value)):
            yield field.name, is_list


def _count(cluster: pl.Series, text: pl.Series) -> pl.DataFrame:
    """Count the images of each cluster that have a text; null and empty texts do not count."""
    frame = pl.DataFrame([cluster, text.alias("text")]).filter(pl.col("text").str.len_bytes() > 0)
    return frame.group_by("cluster", "text").agg(here=pl.len())


def _count_lists(cluster: pl.Series, texts: pl.Series) -> pl.DataFrame:
    """Count the images of each cluster that have a text in their list, once each."""
    frame = pl.DataFrame([cluster, texts.list.unique().alias("text")]).explode("text")
    return _count(frame["cluster"], frame["text"])


def _count_words(cluster: pl.Series, texts: pl.Series) -> pl.DataFrame:
    """Count the images of each cluster that have a word, in lower case; stop words do not count."""
    counts = _count_lists(cluster, texts.str.to_lowercase().str.extract_all(_WORD))
    return counts.filter(~pl.col("text").is_in(_STOP_WORDS.split()))


def _with_parents(counts: pl.DataFrame) -> pl.DataFrame:
    """Count images for the folders above theirs, too: those of `a/b/c` for `a/b` and `a`."""
    parts = counts["text"].str.split("/")
    above = [["/".join(names[: i + 1]) for i in range(len(names))] for names in parts.to_list()]
    return counts.with_columns(text=pl.Series(above, dtype=pl.List(pl.String))).explode("text")


def _tagged(generation: Generation, cluster: pl.Series, contents: pl.Series) -> pl.DataFrame | None:
    """Count the tags of users; None without any."""
    by_content = generation.tags.by_content() if generation.tags else {}
    if not by_content:
        return None
    tags = pl.DataFrame({"content": list(by_content), "text": list(by_content.values())}).explode("text")
    images = pl.DataFrame([cluster, contents.alias("content")])
    joined = images.join(tags, on="content")
    return _count(joined["cluster"], joined["text"])


def _is_text(values: pl.Series) -> bool:
    spaces = values.drop_nulls().head(_SAMPLED).str.count_matches(" ").mean()
    return isinstance(spaces, float) and spaces >= _TEXT_SPACES
