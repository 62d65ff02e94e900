"""Docstrings, comments and messages of both packages avoid words that have no place in technical English."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("imrec_core", "imrec_dagster")
BANNED = ("who", "whoever", "told", "strangers", "meanwhile", "nobody", "anew", "will not do", "however dense")

_PATTERN = re.compile(rf"\b({'|'.join(BANNED)})\b".replace(" ", r"\s+"), re.IGNORECASE)
_IDENTIFIERS = re.compile(r"`[^`\n]*`")


def texts(source: str) -> Iterator[tuple[int, str]]:
    """Yield the string literals, docstrings among them, and the comments of a module, each with its first line."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def offences(source: str) -> list[tuple[int, str]]:
    """Return the banned words of a module with their lines; identifiers between backticks are allowed."""
    found = set()
    for line, text in texts(source):
        prose = _IDENTIFIERS.sub("", text)
        for match in _PATTERN.finditer(prose):
            found.add((line + prose.count("\n", 0, match.start()), " ".join(match[1].lower().split())))
    return sorted(found)


def test_banned_words_are_found_where_they_are_and_identifiers_are_left_alone():
    source = '"""Holds `told`.\n\nWhoever asks.\n"""\ntold = f"it will  not\\ndo {told}"  # nobody, whole\n'
    assert offences(source) == [(3, "whoever"), (5, "nobody"), (5, "will not do")]


def test_prose_of_the_packages_has_no_banned_word():
    found = [
        f"{path.relative_to(ROOT)}:{line}: {word!r}"
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        for line, word in offences(path.read_text("utf-8"))
    ]
    assert not found, "rewrite these words in plain technical English:\n" + "\n".join(found)
