"""File names that are not UTF-8, as text."""

import os


def escaped(path: str) -> str:
    r"""Write the bytes of a path that are not UTF-8 as `\xff`, so that it can be stored and shown."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
