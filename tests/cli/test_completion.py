"""`imrec completion`: the scripts, and what they complete."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import imrec_core
from imrec_core.features import FEATURES
from imrec_dagster.cli.main import imrec as group

ROOT = Path(imrec_core.__file__).parent.parent


@pytest.fixture
def complete(imrec, monkeypatch):
    """Returns the completions of a line, each as `type,value`."""

    def run(line: str) -> list[str]:
        monkeypatch.setenv("_IMREC_COMPLETE", "bash_complete")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
        return imrec().out.splitlines()

    return run


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_script_asks_imrec_for_completions(imrec, shell):
    printed = imrec("completion", shell)
    assert (printed.status, printed.err) == (0, "")
    assert f"_IMREC_COMPLETE={shell}_complete" in printed.out


def test_other_shell_is_refused(imrec):
    refused = imrec("completion", "tcsh")
    assert refused.status == 2 and "'bash', 'zsh', 'fish'" in refused.err


def test_script_of_bash_completes_a_command(tmp_path):
    program = tmp_path / "imrec"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m imrec_dagster.cli "$@"\n')
    program.chmod(0o755)
    script = """
        eval "$(imrec completion bash)"
        COMP_WORDS=(imrec dup) COMP_CWORD=1
        _imrec_completion imrec
        echo "${COMPREPLY[@]}"
    """
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment, check=True)
    assert (ran.stdout, ran.stderr) == ("duplicates\n", "")


def test_commands_and_options_are_completed(complete):
    assert complete("imrec ") == [f"plain,{name}" for commands in group.sections.values() for name in names(commands)]
    assert complete("imrec duplicates --ti") == ["plain,--tier"]
    assert complete("imrec duplicates --tier same") == ["plain,same_pixels"]


def names(commands) -> list[str]:
    return [command.name for command in commands]


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("imrec search pho", "file,pho"),
        ("imrec plot hashes ", "file,"),
        ("imrec build pho", "dir,pho"),
        ("imrec sources add ", "dir,"),
        ("imrec status --lake da", "dir,da"),
        ("imrec search --link ", "dir,"),
    ],
)
def test_files_and_folders_are_completed_by_the_shell(complete, line, kind):
    assert complete(line) == [kind]


def test_features_of_the_lake_are_completed(complete, new_lake):
    lake = new_lake(0, ("phash",), built=False, histograms={"phase": {"levels": [4, 4, 4]}})
    assert complete(f"imrec search --lake {lake.root} --by pha") == ["plain,phash", "plain,phase"]
    assert complete("imrec plot hashes --by ") == [f"plain,{name}" for name in FEATURES]


def test_features_are_completed_where_lake_toml_is_invalid(complete, new_lake):
    lake = new_lake(0, built=False)
    lake.settings_path.write_text("[combined.mix]\nphash = 1\n")
    assert complete(f"imrec search --lake {lake.root} --by pha") == ["plain,phash"]
