"""Errors of filters and orders in plain words, for each kind of error that DuckDB has for them."""

from __future__ import annotations

import pickle

import duckdb
import pytest

from imrec_core.errors import BadFilter
from imrec_core.sql.policy import SqlPolicy
from imrec_core.sql.row_filter import RowFilter

UNTRUSTED = SqlPolicy.untrusted(30)
DAY = "taken >= '2024-01-31'"
DATES = f"'taken' is a date; compare it with a date in quotes ({DAY}) or by its year (year(taken) >= 2024)"


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> RowFilter:
    """A filter over three rows with a column of each type."""
    path = tmp_path_factory.mktemp("rows") / "rows.parquet"
    duckdb.sql(
        f"""COPY (
            SELECT range AS row, 'a' || range AS path, 'photos' AS source, 'Nikon' AS camera, range::INT AS width,
                2::INT AS height, 1.5::FLOAT AS aspect, TIMESTAMP '2024-01-01' AS taken, true AS is_grey,
                ['sea'] AS tags, false AS removed FROM range(3)
        ) TO '{path}'"""
    )
    return RowFilter(path)


def problem_of(rows: RowFilter, where: str, policy: SqlPolicy = SqlPolicy.TRUSTED) -> BadFilter:
    with pytest.raises(BadFilter) as caught:
        rows.rows(where, policy)
    return caught.value


BINDER = {
    "beach": "no column named 'beach'; to find names, write: path ILIKE '%beach%'",
    "widht > 3": "no column named 'widht'; did you mean 'width'?",
    "rows.widht > 3": "no column named 'widht'; did you mean 'width'?",
    "WIDHT > 3": "no column named 'WIDHT'; did you mean 'width'?",
    "camera = Canon1": "no column named 'Canon1'; if it is a text, put it in single quotes: 'Canon1'",
    'camera = "Olympus"': "no column named 'Olympus'; if it is a text, put it in single quotes: 'Olympus'",
    "holiday IN tags": "no column named 'holiday'; if it is a text, put it in single quotes: 'holiday'",
    "width > 1 AND smell": "no column named 'smell'",
    "photos.width > 3": "no table named 'photos'; name columns without a table",
    "taken >= 2024": DATES,
    "2024 < taken": DATES,
    "path > 3": "'path' is a text, the other side is a number; put values of texts in single quotes",
    "tags > 3": "'tags' is a list and cannot be compared with a number",
    "taken LIKE '2024%'": f"LIKE does not work on a date; compare it ({DAY}) or use year(taken) = 2024",
    "taken > now() - 3": "- does not work on a date and a number; for days write for example: now() - to_days(3)",
    "lower(width) = 'a'": "lower() does not work on a number",
    "width + path > 3": "+ does not work on a number and a text",
}
CONVERSION = {
    "taken >= '2024'": "'2024' is not a date; write it as '2024-01-31' or '2024-01-31 14:30'; for a whole year: "
    "year(taken) = 2024",
    "taken > 'yesterday'": "'yesterday' is not a date; write it as '2024-01-31' or '2024-01-31 14:30'",
    "taken > '2024-13-01'": "'2024-13-01' is no day of the calendar",
    "width > '800px'": "'800px' is not a number",
    "is_grey = 'maybe'": "'maybe' is not true or false",
    "path": "'path' is a text, here 'a0', and alone no condition; compare it: path = '…'",
    "tags = 'sea'": "'tags' is a list; write: 'NAME' IN tags",
    "tags": "'tags' is a list; write: 'NAME' IN tags",
    "path::INT > 3": "'path' has texts such as 'a0', which is not a number",
    "date_part('foo', taken) = 3": "'foo' is no part of a date; known: year, quarter, month, week, day, hour, minute, "
    "second",
}
SYNTAX = {
    "width > 3 AND": "the filter ends too early, after 'AND'; expected a condition, a column or a value",
    "(width > 3": "the bracket ( at character 1 is not closed",
    "path > 'ä(' AND (width > 3": "the bracket ( at character 17 is not closed",
    "width > 3)": "the bracket ) at character 10 closes nothing; remove it",
    "camera = 'Nikon": "the quote ' at character 10 is not closed; a ' inside a text is written ''",
    "path = 'ä' OR camera = 'Nikon": "the quote ' at character 24 is not closed; a ' inside a text is written ''",
    '"width > 3': 'the quote " at character 1 is not closed',
    "width > 3 /* wide": "the comment /* at character 11 is not closed; end it with */",
    "width > 3;": "the ; at character 10 does not belong here; the filter is one expression, without ;",
    "width > 3; DROP TABLE rows": "the ; at character 10 does not belong here; the filter is one expression, without ;",
    "WHERE width > 3": "WHERE at character 1 does not belong here; the filter is one expression over the columns",
    "width > 3 LIMIT 5": "LIMIT at character 11 does not belong here; the filter is one expression over the columns",
    "width > 800 px": "cannot read 'px' at character 13; expected AND or OR between conditions, and texts in "
    "'single quotes'",
    "red car": "'red car' is no condition; to find names, write: path ILIKE '%red car%'",
    "camera CONTAINS 'nik'": "CONTAINS at character 8 is a function; write for example: contains(path, 'beach')",
    "width > 8 && height > 3": "between conditions write AND in place of &&, and OR in place of ||",
    "1 < width < 9": "two comparisons are chained; join them with AND, for example: width > 800 AND width < 1600",
    "-- nothing": "there is no SQL in it; expected SQL over the columns",
    "  ": "there is no SQL in it; expected SQL over the columns",
}
OTHERS = {
    "regexp_matches(path, '(')": "the pattern of a regular expression cannot be read: missing ): (",
    "abs(-9223372036854775808) > row": "the result of a calculation is too large "
    "(Overflow on abs(-9223372036854775808))",
    "camera LIKE 'x' ESCAPE 'ab'": "the text after ESCAPE must be one character",
}
TRUSTED_ONLY = {
    "count(*) > 1": "a filter looks at one image at a time; it cannot count, add up or rank images",
    "row_number() OVER () < 3": "a filter looks at one image at a time; it cannot count, add up or rank images",
    "width > unnest(tags)": "lists cannot be unfolded here; write: 'NAME' IN tags",
    "lenght(path) > 3": "no function named 'lenght'; did you mean 'length'?",
    "width = 'x'::FOO": "no type named 'FOO'",
    "EXISTS (SELECT * FROM secret)": "the table 'secret' does not exist; only the columns can be read",
    "? > 3": "write the value itself in place of ? or $1",
    "* > 3": "* does not stand for columns here; name the column",
    "SELECT * FROM rows": "SELECT at character 1 does not belong here; the filter is one expression over the columns",
}
UNTRUSTED_ONLY = {
    "count(*) > 1": "the function count_star is not allowed here; a filter looks at one image at a time",
    "row_number() OVER () < 3": "a window is not allowed here; a filter looks at one image at a time",
    "lenght(path) > 3": "the function lenght is not allowed here; did you mean length?",
    "repeat(path, 9) = ''": "the function repeat is not allowed here; compare columns with values",
}
ALL = {**BINDER, **CONVERSION, **SYNTAX, **OTHERS}


@pytest.mark.parametrize("where", ALL)
def test_problem_is_said_in_plain_words(rows, where):
    for policy in (SqlPolicy.TRUSTED, UNTRUSTED):
        error = problem_of(rows, where, policy)
        assert (error.field, error.problem) == ("where", ALL[where])
        assert str(error).startswith(f"where: {ALL[where]}")


@pytest.mark.parametrize("where", TRUSTED_ONLY)
def test_problem_of_trusted_sql_is_said_in_plain_words(rows, where):
    error = problem_of(rows, where)
    assert error.problem == TRUSTED_ONLY[where]
    assert str(error).endswith("(columns: row, path, source, camera, width, height, aspect, taken, is_grey, tags)")


@pytest.mark.parametrize("where", UNTRUSTED_ONLY)
def test_problem_of_refused_sql_names_what_to_write(rows, where):
    assert problem_of(rows, where, UNTRUSTED).problem == UNTRUSTED_ONLY[where]


def test_conditions_of_the_advice_are_valid(rows):
    for policy in (SqlPolicy.TRUSTED, UNTRUSTED):
        for advised in (
            "path ILIKE '%beach%'",
            DAY,
            "year(taken) >= 2024",
            "taken > now() - to_days(3)",
            "'NAME' IN tags",
            "contains(path, 'beach')",
            "width > 800 AND width < 1600",
            "taken > '2024-01-31 14:30'",
        ):
            assert len(rows.rows(advised, policy)) <= 3


def test_details_are_the_message_of_duckdb(rows):
    assert problem_of(rows, "taken >= 2024").details.startswith("Binder Error: Cannot compare values of type TIMESTAMP")
    assert problem_of(rows, "width >", UNTRUSTED).details == 'Parser Error: syntax error at or near ")"'
    assert problem_of(rows, "( " * 60).details == ""


def test_unknown_column_is_an_attribute_of_the_error(rows):
    assert problem_of(rows, "widht > 3").unknown == "widht"
    assert problem_of(rows, "width >").unknown == ""


def test_unknown_error_of_duckdb_is_passed_on(rows):
    error = problem_of(rows, "error('no rule knows this') IS NULL")
    assert error.problem == error.details == "Invalid Input Error: no rule knows this"


def test_order_is_named_as_such(rows):
    with pytest.raises(BadFilter, match=r"^order_by: the order ends too early, after 'width,';") as caught:
        rows.sort("width,", UNTRUSTED)
    assert caught.value.field == "order_by"
    with pytest.raises(BadFilter, match=r"^order_by: no column named 'widht'; did you mean 'width'"):
        rows.sort("widht DESC", SqlPolicy.TRUSTED)


def test_error_survives_pickling(rows):
    error = problem_of(rows, "widht > 3")
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.problem, copy.unknown) == (str(error), error.problem, "widht")
