"""Say in plain words why DuckDB refused a filter or an order, and what to write instead.

DuckDB's own message stays in `BadFilter.details`. A message that no rule here knows is passed on as it is.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping

import duckdb

from imrec_core.errors import BadFilter
from imrec_core.sql.syntax_errors import explain_syntax, parse

_DAY = "'2024-01-31'"
_NUMBERS = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?(_LITERAL)?$|INT\d+$|UINT\d+$|FLOAT|DOUBLE|DECIMAL|REAL")
_TEXTS = ("VARCHAR", "STRING_LITERAL")
_OPERATORS = {"~~": "LIKE", "!~~": "NOT LIKE", "~~*": "ILIKE", "!~~*": "NOT ILIKE"}

Columns = Mapping[str, str]  # SQL type by name
_Words = Callable[[re.Match[str], str, Columns], str]


def explain(
    connection: duckdb.DuckDBPyConnection, name: str, sql: str, error: Exception, columns: Columns
) -> BadFilter:
    """Convert an error of DuckDB to one that says what is wrong and what to write.

    Args:
        name: `where` or `order_by`.
        columns: Columns of the rows.
    """
    details = (str(error).strip().splitlines() or [type(error).__name__])[0]
    names = list(columns)
    if isinstance(error, duckdb.ParserException):
        try:
            parse(connection, name, sql)
        except BadFilter as syntax:
            return BadFilter(name, syntax.problem, details=syntax.details, columns=names)
        problem = explain_syntax(name, sql, details.removeprefix("Parser Error: "), None)
        return BadFilter(name, problem, details=details, columns=names)
    unknown = _unknown_column(details)
    if unknown:
        problem = _explain_unknown(unknown, sql, columns)
        return BadFilter(name, problem, details=details, unknown=unknown, columns=names)
    for pattern, words in _RULES:
        found = pattern.search(str(error))
        if found:
            return BadFilter(name, words(found, sql, columns), details=details, columns=names)
    return BadFilter(name, details, details=details, columns=names)


def _unknown_column(message: str) -> str:
    for pattern in (r'Referenced column "(.+?)" not found', r'Table ".+?" does not have a column named "(.+?)"'):
        found = re.search(pattern, message)
        if found:
            return found[1]
    return ""


def _explain_unknown(unknown: str, sql: str, columns: Columns) -> str:
    """Explain a column that does not exist: a slip, a text without quotes, or a word to search for."""
    said = f"no column named {unknown!r}"
    near = difflib.get_close_matches(unknown.lower(), columns, n=1)
    if near:
        return f"{said}; did you mean {near[0]!r}?"
    word = re.escape(unknown)
    if re.fullmatch(rf'\s*"?{word}"?\s*', sql):
        return f"{said}; to find names, write: path ILIKE '%{unknown}%'"
    if re.search(rf'(=|<|>|LIKE|\bIN\s*\(?|,)\s*"?{word}\b', sql, re.IGNORECASE) or re.search(
        rf'\b{word}"?\s+IN\b', sql, re.IGNORECASE
    ):
        return f"{said}; if it is a text, put it in single quotes: '{unknown}'"
    return said


def _type_words(kind: str) -> str:
    """Name a type of DuckDB in plain words."""
    if kind.endswith("[]"):
        return "a list"
    if kind in _TEXTS:
        return "a text"
    if kind.startswith(("TIMESTAMP", "DATE")):
        return "a date"
    if kind.startswith("BOOL"):
        return "true or false"
    return "a number" if _NUMBERS.match(kind) else f"a value of type {kind}"


def _compared_column(sql: str, kind: str, columns: Columns) -> str:
    """Return the column of a type that the SQL names, or else the type in words."""
    for name, of in columns.items():
        if of == kind and re.search(rf"(?<![\w'])\"?{re.escape(name)}\"?(?![\w'])", sql, re.IGNORECASE):
            return name
    return ""


def _of_comparison(found: re.Match[str], sql: str, columns: Columns) -> str:
    left, right = found[1], found[2]
    for kind, other in ((left, right), (right, left)):
        column = _compared_column(sql, kind, columns)
        if not column or _type_words(kind) == "a number":
            continue
        if kind.startswith(("TIMESTAMP", "DATE")):
            return f"{column!r} is a date; compare it with a date in quotes ({column} >= {_DAY}) or by its year \
(year({column}) >= 2024)"
        if kind == "VARCHAR":
            return f"{column!r} is a text, the other side is {_type_words(other)}; put values of texts in single quotes"
        return f"{column!r} is {_type_words(kind)} and cannot be compared with {_type_words(other)}"
    return f"{_type_words(left)} and {_type_words(right)} cannot be compared; texts are in 'single quotes'"


def _of_date(found: re.Match[str], sql: str, columns: Columns) -> str:
    is_year = re.fullmatch(r"\d{4}", found[1])
    year = f"; for a whole year: year(taken) = {found[1]}" if is_year else ""
    return f"{found[1]!r} is not a date; write it as {_DAY} or '2024-01-31 14:30'{year}"


def _of_text(found: re.Match[str], sql: str, columns: Columns) -> str:
    value, kind, column = found[1], found[2], found[3]
    wanted = "true or false" if kind.startswith("BOOL") else "a date" if "DATE" in kind else "a number"
    if column and columns.get(column) == "VARCHAR" and wanted == "true or false":
        return f"{column!r} is a text, here {value!r}, and alone no condition; compare it: {column} = '…'"
    if column:
        return f"{column!r} has texts such as {value!r}, which is not {wanted}"
    return f"{value!r} is not {wanted}"


def _of_list(found: re.Match[str], sql: str, columns: Columns) -> str:
    lists = [name for name, kind in columns.items() if kind.endswith("[]")]
    column = next((name for name in lists if re.search(rf"\b{re.escape(name)}\b", sql, re.IGNORECASE)), "tags")
    return f"{column!r} is a list; write: 'NAME' IN {column}"


def _of_arguments(found: re.Match[str], sql: str, columns: Columns) -> str:
    function, kinds = found[1], [kind.strip() for kind in found[2].split(",") if kind.strip()]
    types = " and ".join(_type_words(kind) for kind in kinds) or "nothing"
    called = _OPERATORS.get(function, function)
    if any(kind.startswith(("TIMESTAMP", "DATE")) for kind in kinds):
        if function in _OPERATORS:
            return f"{called} does not work on a date; compare it (taken >= {_DAY}) or use year(taken) = 2024"
        if function in ("+", "-"):
            return f"{called} does not work on {types}; for days write for example: now() - to_days(3)"
    return f"{called}{'' if not function.isidentifier() else '()'} does not work on {types}"


def _fixed(words: str) -> _Words:
    return lambda found, sql, columns: words.format(*found.groups())


_ONE_AT_A_TIME = "a filter looks at one image at a time; it cannot count, add up or rank images"
_REGEX = r"(missing|invalid|bad|no argument|unexpected|trailing)"
_UNITS = "year, quarter, month, week, day, hour, minute, second"
_RULES: list[tuple[re.Pattern[str], _Words]] = [
    (re.compile(pattern), _fixed(words) if isinstance(words, str) else words)
    for pattern, words in (
        (r"Cannot compare values of type (.+?) and type (.+?)(?: -|$)", _of_comparison),
        (r'invalid (?:timestamp|date) field format: "(.*?)"', _of_date),
        (r'(?:timestamp|date) field value out of range: "(.*?)"', "{0!r} is no day of the calendar"),
        (r"can't be cast to the destination type \w+\[\]", _of_list),
        (r"Unimplemented type for cast \(\w+\[\] ->", _of_list),
        (r"Could not convert string '(.*?)' to (\w+)(?: when casting from source column (\w+))?", _of_text),
        (r"cannot contain (?:aggregates|window functions)", _ONE_AT_A_TIME),
        (r"UNNEST(?:\(\) can only| not supported)", "lists cannot be unfolded here; write: 'NAME' IN tags"),
        (
            r'Function with name (\S+) does not exist!\s*Did you mean "(\S+?)"',
            "no function named {0!r}; did you mean {1!r}?",
        ),
        (r"Function with name (\S+) does not exist", "no function named {0!r}"),
        (r"No function matches the given name and argument types '(.+?)\((.*?)\)'", _of_arguments),
        (r"Type with name (\S+) does not exist", "no type named {0!r}"),
        (r"Table with name (\S+) does not exist", "the table {0!r} does not exist; only the columns can be read"),
        (r'Referenced table "(.+?)" not found', "no table named {0!r}; name columns without a table"),
        (r"Out of Range Error: (.+)", "the result of a calculation is too large ({0})"),
        (r'extract specifier "(.*?)" not recognized', f"{{0!r}} is no part of a date; known: {_UNITS}"),
        (r"Invalid escape string", "the text after ESCAPE must be one character"),
        (f"Invalid Input Error: ({_REGEX}.*)", "the pattern of a regular expression cannot be read: {0}"),
        (r"Unexpected prepared parameter", "write the value itself in place of ? or $1"),
        (r"STAR expression", "* does not stand for columns here; name the column"),
        (r"cannot encode str as UTF-8", "a character of it is no valid text; remove it"),
    )
]
"""Patterns of DuckDB's messages, and what to say; the first that matches counts."""
