"""Rows by image id, and values of columns by row."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from imrec_core.errors import QueryError
from imrec_core.index import row_lookup, row_table
from imrec_core.index.row_lookup import RowsById
from imrec_core.index.row_table import RowTable

NUMBERS = np.random.default_rng(3).integers(0, 2**64, 500, dtype=np.uint64)
ROWS = np.arange(500) * 2


def column(ids: list[str], *, parts: int = 1) -> pa.ChunkedArray:
    return pa.chunked_array([ids[first::parts] for first in range(parts)], pa.string())


def hexadecimal(numbers: np.ndarray) -> list[str]:
    return [f"{number:016x}" for number in numbers.tolist()]


def test_first_id_and_further_ones_are_found():
    rows = RowsById(column(hexadecimal(NUMBERS)), ROWS)
    for i in (7, 7, 499, 0, 7):
        assert rows.find(f"{NUMBERS[i]:016x}") == rows.find(f"{NUMBERS[i]:016X}") == ROWS[i]
    assert rows.find("0" * 16) is None
    assert rows.find_all(NUMBERS[::-1]).tolist() == ROWS[::-1].tolist()


def test_unknown_id_is_not_found_at_first_and_later():
    rows = RowsById(column(hexadecimal(NUMBERS)), ROWS)
    assert [rows.find(identity) for identity in ("0" * 16, "1" * 16, "0" * 16)] == [None, None, None]
    with pytest.raises(QueryError, match="16 hex digits"):
        rows.find("no id")


def test_former_ids_are_found_after_the_current_ones():
    rows = RowsById(
        column(hexadecimal(NUMBERS[:9])), ROWS[:9], lambda: (pa.array(hexadecimal(NUMBERS[9:12])), ROWS[:3])
    )
    assert [rows.find(identity) for identity in hexadecimal(NUMBERS[8:12])] == [16, 0, 2, 4]


@pytest.mark.parametrize("ids", [hexadecimal(NUMBERS[:6]), ["a", "ff", "123456789abcdef01"[:15], "0" * 16], []])
@pytest.mark.parametrize("parts", [1, 2, 3])
def test_ids_of_a_column_are_the_numbers_that_they_spell(ids, parts):
    table = column(ids, parts=parts)
    found = row_lookup._numbers_of_column(table)
    assert found.dtype == np.uint64
    assert found.tolist() == [int(identity, 16) for identity in table.to_pylist()]


def test_ids_of_a_slice_are_those_of_its_rows():
    table = column(hexadecimal(NUMBERS))[100:200]
    assert row_lookup._numbers_of_column(table).tolist() == NUMBERS[100:200].tolist()


@pytest.mark.parametrize("few", [0, 100])
def test_values_are_those_of_the_rows_in_their_order(toy_lake, monkeypatch, few):
    monkeypatch.setattr(row_table, "_FEW", few)
    path = toy_lake.local_generation(toy_lake.current_generation()) / "rows.parquet"
    rows = np.array([5, 0, 17, 5])
    every = RowTable(path).read_all().to_pylist()
    expected = {name: [every[row][name] for row in rows] for name in ("image_id", "path", "width")}
    assert RowTable(path).values(rows, "image_id", "path", "width") == expected
    assert RowTable(path).values(rows[:0], "image_id") == {"image_id": []}


@pytest.mark.parametrize("value", ["ab", "abab", "b", "none", "ä", "aba"])
def test_rows_equal_to_a_value_are_those_of_a_loop(tmp_path, value):
    texts = ["ab", "abab", None, "ab", "", "b", None, "ä", "ab", "aab"]
    pq.write_table(pa.table({"text": pa.array(texts, pa.string())}), tmp_path / "rows.parquet")
    found = RowTable(tmp_path / "rows.parquet").rows_equal_to("text", value)
    assert found.tolist() == [row for row, text in enumerate(texts) if text == value]


def test_mapped_rows_are_those_of_the_parquet_file(tmp_path, toy_lake):
    """Generations of earlier versions have the Parquet file alone."""
    mapped = toy_lake.local_generation(toy_lake.current_generation()) / "rows.parquet"
    alone = Path(shutil.copy(mapped, tmp_path))
    tables = [RowTable(path) for path in (mapped, alone)]
    assert [table._mapped is None for table in tables] == [False, True]
    names = tables[0].column_names
    assert names == tables[1].column_names
    assert tables[0].read_all().equals(tables[1].read_all())
    assert tables[0].columns(*names).equals(tables[1].columns(*names))
