"""Text forms of file names that are not UTF-8."""

import os


def escaped(path: str) -> str:
    r"""Escape the bytes of a path that are not UTF-8 as `\xff`, for storage and display."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
