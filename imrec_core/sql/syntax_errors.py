"""Parse a filter or an order, and say in plain words where its syntax is wrong."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from imrec_core.errors import BadFilter
from imrec_core.sql.nesting import unmatched_bracket

if TYPE_CHECKING:
    import duckdb

_NEAR = re.compile(r'syntax error at or near "(.*)"', re.DOTALL)
_UNCLOSED = {
    "unterminated string": ("the quote '", "; a ' inside a text is written ''"),
    "unterminated quoted identifier": ('the quote "', ""),
    "unterminated /*": ("the comment /*", "; end it with */"),
}
_CLAUSES = frozenset({"select", "from", "group", "having", "join", "limit", "offset", "order", "union", "where"})


def parse(connection: duckdb.DuckDBPyConnection, name: str, sql: str) -> dict[str, Any]:
    """Return DuckDB's syntax tree of a query with a condition or an order.

    Args:
        name: `where` or `order_by`.

    Raises:
        BadFilter: The SQL cannot be parsed; the message says where.
    """
    head = "SELECT row FROM rows WHERE (\n" if name == "where" else "SELECT row FROM rows ORDER BY \n"
    # The bracket is on its own line, so that a comment at the end does not hide it.
    text = f"{head}{sql}\n" + ")" * (name == "where")
    parsed: dict[str, Any]
    parsed = json.loads(connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [text]).fetchall()[0][0])
    if parsed["error"]:
        message = str(parsed.get("error_message", "the SQL cannot be parsed"))
        at = int(parsed["position"]) - len(head) if str(parsed.get("position", "")).isdecimal() else None
        problem = explain_syntax(name, sql, message, at)
        raise BadFilter(name, problem, details=f"Parser Error: {message}")
    return parsed


def is_empty(sql: str) -> bool:
    """Return whether there is nothing but spaces and comments."""
    return not re.sub(r"--[^\n]*|/\*.*?\*/", "", sql, flags=re.DOTALL).strip()


def explain_syntax(name: str, sql: str, message: str, at: int | None) -> str:
    """Explain a syntax error: what DuckDB could not read, where, and what to write.

    Args:
        message: DuckDB's message.
        at: Offset in bytes where DuckDB stopped; None if it is not known.
    """
    words = "the filter" if name == "where" else "the order"
    if re.search(r"&&|\|\|", sql) and "Chained comparisons" in message:
        return "between conditions write AND in place of &&, and OR in place of ||"
    if "Chained comparisons" in message:
        return "two comparisons are chained; join them with AND, for example: width > 800 AND width < 1600"
    for start, (what, advice) in _UNCLOSED.items():
        if message.startswith(start):
            return f"{what} at {_place(sql, at)} is not closed{advice}"
    near = _NEAR.match(message)
    return message.splitlines()[0] if near is None else _explain_token(words, sql, near[1], at)


def _explain_token(words: str, sql: str, token: str, at: int | None) -> str:
    """Explain a token that DuckDB did not expect."""
    bracket = unmatched_bracket(sql)
    if bracket is not None:
        sign = sql.encode()[bracket : bracket + 1].decode()
        advice = "is not closed" if sign in "([{" else "closes nothing; remove it"
        return f"the bracket {sign} at {_place(sql, bracket)} {advice}"
    if at is None and token in sql:
        at = len(sql[: sql.index(token)].encode())
    is_last = sql.rstrip().endswith(token) and not token[-1:].isalnum()  # no bracket follows an order
    if at is not None and (at >= len(sql.encode()) or (is_last and words == "the order")):
        last = sql.split()[-1]
        return f"{words} ends too early, after {last!r}; expected a condition, a column or a value"
    place = _place(sql, at)
    if token == ";":
        return f"the ; at {place} does not belong here; {words} is one expression, without ;"
    if token.lower() in _CLAUSES:
        return f"{token} at {place} does not belong here; {words} is one expression over the columns"
    if token.lower() == "contains":
        return f"{token} at {place} is a function; write for example: contains(path, 'beach')"
    if re.fullmatch(r"[\w\s.-]+", sql) and not re.search(r"(?i)\b(and|or|not|is|in|like|between)\b", sql):
        return f"{sql.strip()!r} is no condition; to find names, write: path ILIKE '%{sql.strip()}%'"
    return f"cannot read {token!r} at {place}; expected AND or OR between conditions, and texts in 'single quotes'"


def _place(sql: str, at: int | None) -> str:
    """Say which character is at an offset in bytes: `character 9`."""
    if at is None:
        return "an unknown place"
    return f"character {len(sql.encode()[: max(at, 0)].decode(errors='ignore')) + 1}"
