"""Parsing of queries on the command line: a file, an `image_id` or a text, with a weight."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imrec_core.search.query import Query

# NaN and infinities match too, so that they are refused as weights, not looked for as files.
_WEIGHTED = re.compile(r"((?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?|nan|inf|infinity):(.+)", re.DOTALL | re.IGNORECASE)


def parse_query(word: str) -> "tuple[Query, float]":
    """Parse `[WEIGHT:]QUERY`: a file, an `image_id` or `text:words`; existing files take precedence."""
    from imrec_core.search.query import ImageId, Text

    match = None if exists(word) else _WEIGHTED.fullmatch(word)
    weight, name = (float(match[1]), match[2]) if match else (1.0, word)
    if name.startswith("text:"):
        return Text(name.removeprefix("text:")), weight
    return (ImageId(name) if len(name) == 16 and not exists(name) else name), weight


def exists(name: str) -> bool:
    """Return whether there is a file or folder of this name."""
    try:
        return Path(name).exists()
    except OSError:  # the name is too long
        return False
