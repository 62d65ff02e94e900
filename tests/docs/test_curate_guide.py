"""docs/guides/curate.md says what the code does."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from imrec_core.curation.rules import RULES
from imrec_dagster.cli.main import imrec

GUIDE = (Path(__file__).parents[2] / "docs" / "guides" / "curate.md").read_text("utf-8")
COMMANDS = sorted(set(re.findall(r"^(?:\$ )?(imrec .+)$", GUIDE, re.MULTILINE)))


def test_limits_in_the_table_are_those_of_the_rules():
    rows = re.findall(
        r"^\| `(\w+)` \| .+? \| (below|above) ([\d.]+) \| (above|below) ([\d.]+) \|$", GUIDE, re.MULTILINE
    )
    listed = {name: (side, float(sure), float(loose)) for name, side, sure, _, loose in rows}
    sides = {"low": "below", "high": "above"}
    assert listed == {
        name: (sides[rule.bad], rule.sure, rule.loose) for name, rule in RULES.items() if rule.bad != "true"
    }


@pytest.mark.parametrize("line", COMMANDS)
def test_command_is_understood(line):
    assert len(COMMANDS) > 8
    name, *words = shlex.split(line)[1:]
    command = imrec.commands[name]
    with click.Context(command) as context:
        command.parse_args(context, words)


def test_issues_in_the_first_output_are_all_issues():
    listed = re.findall(r"^(\w+) +\d+ ", GUIDE.partition("```console")[2].partition("```")[0], re.MULTILINE)
    assert listed == [*RULES, "failed"]
