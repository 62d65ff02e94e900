"""Parsing of queries on the command line: a file, a URL, an `image_id`, a text or standard input, with a weight."""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imrec_core.search.query import Query

# NaN and infinities match too, so that they are refused as weights, not looked for as files.
_WEIGHTED = re.compile(r"((?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?|nan|inf|infinity):(.+)", re.DOTALL | re.IGNORECASE)


def parse_query(word: str) -> "tuple[Query, float]":
    """Parse `[WEIGHT:]QUERY`: a file, a URL, an `image_id`, `text:words`, or `-` for standard input.

    `#x,y,w,h` after any but a text makes it a crop; see `Crop`.

    A file that exists takes precedence, except over `-`.
    """
    match = None if exists(word) else _WEIGHTED.fullmatch(word)
    return (_parse_name(match[2]), float(match[1])) if match else (_parse_name(word), 1.0)


def _parse_name(name: str) -> "Query":
    from imrec_core.search.crop import parse_box
    from imrec_core.search.query import Crop, ImageId, StreamedImage, Text, plain_query

    if name == "-":
        return StreamedImage("standard input", _read_stdin)
    if exists(name):
        return Path(name)  # no text that could be taken for anything else
    if name.startswith("text:"):
        return Text(name.removeprefix("text:"))
    image, hash_sign, numbers = name.rpartition("#")
    if hash_sign and image and (box := parse_box(numbers)) is not None:
        return Crop(_parse_name(image), box)
    return ImageId(name) if len(name) == 16 else plain_query(name)


def _read_stdin() -> bytes:
    from imrec_core.errors import ImageTooLarge
    from imrec_core.lake.storage.downloads import MAX_BYTES

    data = sys.stdin.buffer.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ImageTooLarge(f"standard input has more than {MAX_BYTES / 1e6:g} MB; give the file")
    return data


def short_name(word: str) -> str:
    """Return what a heading calls a query: a file without its folders, a text in quotes, a weight before either."""
    match = None if exists(word) else _WEIGHTED.fullmatch(word)
    name = match[2] if match else word
    if name == "-":
        name = "standard input"
    elif name.startswith("text:") and not exists(name):
        name = f"“{name.removeprefix('text:')}”"
    else:
        name = name.rstrip("/").rpartition("/")[2]
    return f"{match[1]} × {name}" if match else name


def exists(name: str) -> bool:
    """Return whether there is a file or folder of this name."""
    try:
        return bool(name) and Path(name).exists()
    except (OSError, ValueError):  # the name is too long, or contains a NUL
        return False
