"""The help of the command: sections, short helps and examples."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterator

import click
import pytest

from imrec_core.features import FEATURES
from imrec_core.features.feature_metric import split_name
from imrec_dagster.cli.main import imrec as group


def commands(command: click.Command, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield the command and those inside it, each with the words that call it."""
    yield path, command
    if isinstance(command, click.Group):
        for name, inside in command.commands.items():
            yield from commands(inside, *path, name)


COMMANDS = dict(commands(group))
EXAMPLES = [
    (path, line.strip())
    for path, command in COMMANDS.items()
    for line in (command.epilog or "").splitlines()
    if line.startswith("  ")
]


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


def listed(text: str) -> dict[str, list[str]]:
    """Return the names that each section of a help lists, by its title."""
    sections: dict[str, list[str]] = {}
    title = ""
    for line in text.splitlines():
        if match := re.fullmatch(r"(\w.*):", line):
            title = match[1]
        elif match := re.match(r"  ([a-z][\w-]*) {2,}\S", line):
            sections.setdefault(title, []).append(match[1])
    return sections


def test_each_command_is_in_exactly_one_section(imrec):
    sections = listed(imrec("--help").out)
    titles = list(group.sections)
    assert {"Build", "Search", "Copies", "Curate", "Evaluate", "Lake", "Serve and Dagster"} <= set(titles)
    assert list(sections) == titles
    shown = Counter(name for names in sections.values() for name in names)
    assert shown == Counter(list(group.commands))


@pytest.mark.parametrize("path", [path for path, command in COMMANDS.items() if isinstance(command, click.Group)])
def test_short_help_is_one_line_that_is_not_cut(imrec, path):
    shown = imrec(*path, "--help").out
    for name, command in COMMANDS[path].commands.items():
        assert re.search(rf"^  {name} +{re.escape(command.short_help)}$", shown, re.MULTILINE)
        assert not command.short_help.endswith((".", "…"))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_fits_80_columns_and_ends_with_an_example(imrec, path):
    *_, last = lines = imrec(*path, "--help").out.splitlines()
    assert [line for line in lines if len(line) > 80] == []
    assert last.startswith("    imrec ")


@pytest.mark.parametrize(("path", "line"), EXAMPLES, ids=[line for _, line in EXAMPLES])
def test_example_calls_the_command_with_options_that_it_has(path, line):
    evaluated = re.fullmatch(r'eval "\$\((.*)\)" *', line.partition("#")[0])
    words = shlex.split(evaluated[1] if evaluated else line.partition(" | ")[0])[1:]
    assert tuple(words[: len(path)]) == path
    command: click.Command = group
    while isinstance(command, click.Group) and words and words[0] in command.commands:
        command = command.commands[words.pop(0)]
    with click.Context(command, help_option_names=["-h", "--help"]) as context:
        if words != ["--help"]:
            command.parse_args(context, words)
            named = context.params.get("by") or ()
            for name in [named] if isinstance(named, str) else named:
                assert split_name(name.partition("=")[0])[0] in FEATURES


def test_every_command_has_an_example():
    assert {path for path, _ in EXAMPLES} == COMMANDS.keys()
