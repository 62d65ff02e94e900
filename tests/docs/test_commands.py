"""Every `imrec` command and every Python snippet of README and docs is understood."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path
from textwrap import dedent

import click
import pytest

from imrec_dagster.cli.main import imrec

ROOT = Path(__file__).parents[2]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text("utf-8")
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))
}


def commands() -> list[tuple[str, str]]:
    """Return each command of a block of shell lines, with its page."""
    found = []
    for page, text in PAGES.items():
        for block in re.findall(r"^ *```(?:sh|console)\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE):
            lines = block.replace("\\\n", " ").splitlines()
            found += [(page, line) for line in lines if re.match(r" *(?:\$ )?(?:\w+=\S+ )?(?:\S*bin/)?imrec ", line)]
    return sorted(set(found))


def snippets(kind: str) -> list[tuple[str, str]]:
    """Return each block of a language, with its page."""
    pattern = re.compile(rf"^( *```{kind}\n.*?)^ *```", re.DOTALL | re.MULTILINE)
    return [(page, dedent(block).partition("\n")[2]) for page, text in PAGES.items() for block in pattern.findall(text)]


def parsed(command: click.Command, words: list[str]) -> None:
    """Parse a command through its subcommands, as `imrec` does, without running it."""
    while isinstance(command, click.Group) and words and words[0] in command.commands:
        command = command.commands[words.pop(0)]
    context = command.make_context(str(command.name), [*words])
    if isinstance(command, click.Group) and words:
        command.resolve_command(context, words)


@pytest.mark.parametrize(("page", "line"), commands(), ids=lambda text: text[:60])
def test_command_of_the_docs_is_understood(page, line):
    words = shlex.split(line.lstrip(" $").replace("…", "x"), comments=True)
    words = words[next(n for n, word in enumerate(words) if word.endswith("imrec")) + 1 :]
    for end in ("|", ">", "&&"):
        words = words[: words.index(end)] if end in words else words
    parsed(imrec, words)


def test_many_commands_are_found_and_an_unknown_option_is_refused():
    assert len(commands()) > 80
    with pytest.raises(click.UsageError):
        parsed(imrec, ["search", "a.jpg", "--like"])
    with pytest.raises(click.UsageError):
        parsed(imrec, ["sources", "relocate"])


@pytest.mark.parametrize(("page", "snippet"), snippets("python"), ids=lambda text: text[:60])
def test_python_of_the_docs_imports_names_that_there_are(page, snippet):
    for node in ast.walk(ast.parse(snippet)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("imrec_"):
            names = [name.name for name in node.names]
            module = __import__(str(node.module), fromlist=names)
            assert [name for name in names if not hasattr(module, name)] == []
