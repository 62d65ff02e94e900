"""CSV of SQL results: each type of column has a cell that can be read back."""

from __future__ import annotations

import csv
import io
import json
from base64 import b64decode

import duckdb
import pytest

from imrec_core.sql.csv_cells import csv_of


def read(sql: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(csv_of(duckdb.sql(sql)))))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("MAP {'read': 1.5::DOUBLE, 'a \"b\"': 2}", {"read": 1.5, 'a "b"': 2.0}),
        ("MAP {}::MAP(VARCHAR, DOUBLE)", {}),
        ("[1, 2, NULL]", [1, 2, None]),
        ("[]::VARCHAR[]", []),
        ("['a,b', 'é\n']", ["a,b", "é\n"]),
        ("[1.5, 2]::FLOAT[2]", [1.5, 2.0]),
        ("[[1], [2, 3]]", [[1], [2, 3]]),
        ("{'x': 1, 'y': MAP {'z': [true]}}", {"x": 1, "y": {"z": [True]}}),
        ("[18446744073709551615::UBIGINT]", [2**64 - 1]),
    ],
)
def test_nested_value_is_json(value, expected):
    header, (cell, empty) = read(f"SELECT {value} AS found, CASE WHEN false THEN {value} END AS empty")
    assert header == ["found", "empty"] and json.loads(cell) == expected and empty == ""


def test_bytes_are_base64_and_other_values_as_before():
    _, row = read("SELECT 'ab'::BLOB, INTERVAL 1 DAY, 3, 'a,\"b', NULL, 1.5::FLOAT, '101'::BIT")
    assert b64decode(row[0]) == b"ab" and row[1:] == ["1 day", "3", 'a,"b', "", "1.5", "101"]


def test_columns_of_one_name_keep_their_values_and_odd_names_are_quoted():
    assert read('SELECT 1 AS a, 2 AS a, [3] AS "x""y, z"')[1] == ["1", "2", "[3]"]
    assert read('SELECT 1 AS "x""y, z"')[0] == ['x"y, z']


def test_result_without_rows_has_a_header():
    assert read("SELECT MAP {'a': 1} AS m, 2 AS n WHERE false") == [["m", "n"]]
