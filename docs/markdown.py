"""Markdown of the generated pages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Format rows of cells as a table, without a newline at its end."""
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def cell(text: str) -> str:
    """Join the words of a text, and escape what would end a cell."""
    return " ".join(text.split()).replace("|", "\\|")
