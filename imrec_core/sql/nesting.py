"""Limit of the nesting of brackets in SQL, checked before DuckDB parses it.

The parser of DuckDB tries every open bracket again: its time and memory grow with the square of their number, and it
cannot be interrupted. 4,000 brackets took 14 s and 2.5 GB, 50 take less than a millisecond. Other recursive syntax of
4,000 characters (`NOT`, `CASE`, casts, signs, lists) takes at most 70 ms (DuckDB 2.0, 2026-11).
"""

from __future__ import annotations

import duckdb

MAX_DEPTH = 50
"""Number of brackets that may be open at the same time."""

_OPENING, _CLOSING = frozenset(b"([{"), frozenset(b")]}")


def nesting_error(sql: str) -> str | None:
    """Return what is wrong if brackets are nested deeper than `MAX_DEPTH`; None if nothing is.

    Brackets in strings, quoted names and comments do not count.
    """
    depth = 0
    data = sql.encode("utf-8", "replace")
    for offset, kind in duckdb.tokenize(data.decode()):  # DuckDB's own tokenizer, which is linear; offsets in bytes
        if kind != duckdb.token_type.operator:
            continue
        depth += (data[offset] in _OPENING) - (data[offset] in _CLOSING)
        if depth > MAX_DEPTH:
            return f"brackets are nested more than {MAX_DEPTH} deep; use a simpler expression"
    return None


def unmatched_bracket(sql: str) -> int | None:
    """Return the offset in bytes of the first bracket that closes nothing, or else of the last unclosed; None if none.

    Brackets in strings, quoted names and comments do not count.
    """
    unclosed: list[int] = []
    data = sql.encode("utf-8", "replace")
    for offset, kind in duckdb.tokenize(data.decode()):
        if kind != duckdb.token_type.operator:
            continue
        if data[offset] in _OPENING:
            unclosed.append(offset)
        elif data[offset] in _CLOSING:
            if not unclosed:
                return int(offset)
            unclosed.pop()
    return int(unclosed[-1]) if unclosed else None
