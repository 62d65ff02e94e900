"""What a query is on the command line: a file, an `image_id` or words, with a weight."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imrec_core.search.query import Query

_WEIGHTED = re.compile(r"(\d+\.?\d*|\.\d+):(.+)", re.DOTALL)


def query_of(word: str) -> "tuple[Query, float]":
    """A file, `image_id` or `text:words`, with the weight that stands before it; a file of such a name goes first."""
    from imrec_core.search.query import ImageId, Text

    weighed = None if is_there(word) else _WEIGHTED.fullmatch(word)
    weight, name = (float(weighed[1]), weighed[2]) if weighed else (1.0, word)
    if name.startswith("text:"):
        return Text(name.removeprefix("text:")), weight
    return (ImageId(name) if len(name) == 16 and not is_there(name) else name), weight


def is_there(name: str) -> bool:
    try:
        return Path(name).exists()
    except OSError:  # longer than a name can be
        return False
