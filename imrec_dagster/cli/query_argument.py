"""Parsing of queries on the command line: a file, an `image_id` or a text, with a weight."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imrec_core.search.query import Query

# NaN and infinities match too, so that they are refused as weights, not looked for as files.
_WEIGHTED = re.compile(r"((?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?|nan|inf|infinity):(.+)", re.DOTALL | re.IGNORECASE)


def parse_query(word: str) -> "tuple[Query, float]":
    """Parse `[WEIGHT:]QUERY`: a file, an `image_id` or `text:words`; a file that exists takes precedence."""
    match = None if exists(word) else _WEIGHTED.fullmatch(word)
    return (_parse_name(match[2]), float(match[1])) if match else (_parse_name(word), 1.0)


def _parse_name(name: str) -> "Query":
    from imrec_core.search.query import ImageId, Text

    if exists(name):
        return Path(name)  # no text that could be taken for anything else
    if name.startswith("text:"):
        return Text(name.removeprefix("text:"))
    return ImageId(name) if len(name) == 16 else name


def exists(name: str) -> bool:
    """Return whether there is a file or folder of this name."""
    try:
        return Path(name).exists()
    except (OSError, ValueError):  # the name is too long, or contains a NUL
        return False
