"""Reference of the `imrec` command for `docs/reference/cli.md`, generated from its click commands."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator

import click

from docs.markdown import cell, table
from imrec_dagster.cli.main import imrec

_WIDTH = 1000  # no line of the help is broken


def cli_reference() -> str:
    """Generate a section per section of `imrec --help`, with usage, help and options of each command."""
    lines: list[str] = []
    for section, commands in imrec.sections.items():
        lines += [f"## {section}", ""]
        for command in commands:
            lines += _command(command, f"imrec {command.name}", "###")
    return "\n".join(lines).rstrip("\n")


def _command(command: click.Command, path: str, level: str) -> Iterator[str]:
    with click.Context(command, info_name=path, terminal_width=_WIDTH) as context:
        usage = " ".join(command.collect_usage_pieces(context))
        yield from (f"{level} {path}", "", "```text", f"{path} {usage}".rstrip(), "```", "")
        yield from _help(command)
        yield from _options(command, context)
    if isinstance(command, click.Group):
        for name, one in command.commands.items():
            yield from _command(one, f"{path} {name}", level + "#")


def _help(command: click.Command) -> Iterator[str]:
    """Yield the paragraphs of the help; one that click shows as it is written becomes a block of text."""
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        if paragraph.startswith("\b\n"):
            yield from ("```text", *paragraph.splitlines()[1:], "```", "")
        elif paragraph:
            lines = textwrap.wrap(_plain(paragraph), 120, break_long_words=False, break_on_hyphens=False)
            # A dash, plus or hash at the start would make a list or a heading.
            yield from (re.sub(r"^([-+#]+)(?=\s)", r"\\\1", line) for line in lines)
            yield ""


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    records = [
        record
        for option in command.params
        if isinstance(option, click.Option) and (record := option.get_help_record(context))
    ]
    if records:
        rows = ((f"`{cell(names)}`", cell(_plain(text))) for names, text in records)
        yield from (*table(("option", "meaning"), rows).splitlines(), "")


def _plain(text: str) -> str:
    """Join the words of a text, and escape what Markdown would take as markup."""
    return re.sub(r"([*<])", r"\\\1", " ".join(text.split()))
