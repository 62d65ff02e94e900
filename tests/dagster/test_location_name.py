"""Every way to start Dagster names the code location alike, so that sensors and schedules keep their state."""

from __future__ import annotations

import configparser
import shlex
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from dagster._cli.workspace.cli_target import WorkspaceOpts, workspace_opts_to_load_target

import imrec_dagster
from imrec_core import Lake
from imrec_dagster.cli import ui
from imrec_dagster.home import open_instance
from imrec_dagster.home_files import CODE_LOCATION, workspace_path

ROOT = Path(imrec_dagster.__file__).parent.parent
DEPLOY = ROOT / "docs" / "deploy"
COPIED = {"/etc/imrec-workspace.yaml", "/var/lib/imrec/workspace.yaml"}
"""Where docs/guides/deploy.md and the manifest put `workspace.yaml`."""


def command_of(program: str) -> click.Command:
    if program == "dagster-webserver":
        from dagster_webserver.cli import dagster_webserver

        return dagster_webserver
    if program == "dagster-daemon":
        from dagster._daemon.cli import run_command

        return run_command
    from dagster._cli.dev import dev_command

    return dev_command


def locations(words: list[str]) -> list[tuple[str, str]]:
    """Name and module of the code locations that a command line loads."""
    program, arguments = Path(words[0]).name, words[1:]
    if program != "dagster-webserver":
        arguments = arguments[1:]  # run, dev
    arguments = [str(DEPLOY / "workspace.yaml") if word in COPIED else word for word in arguments]
    options: dict[str, Any] = dict(command_of(program).make_context(program, arguments).params)
    target = workspace_opts_to_load_target(WorkspaceOpts.extract_from_cli_options(options))
    return [(one.location_name, one.loadable_target_origin.module_name) for one in target.create_origins()]


EXPECTED = [(CODE_LOCATION, "imrec_dagster.definitions")]


def test_other_name_is_seen():
    assert locations(shlex.split("dagster dev -m imrec_dagster.definitions")) != EXPECTED


def test_imrec_ui(imrec, monkeypatch, free_port):
    seen: list[list[str]] = []
    monkeypatch.setattr(ui, "_run_dagster", lambda arguments, environment: seen.append(["dagster", *arguments]))
    assert imrec("ui", "--port", free_port, "--lake", "mine").status == 0
    assert locations(seen[0]) == EXPECTED


def test_workspace_of_the_clone_and_of_an_instance(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert locations(["dagster", "dev", "-w", "workspace.yaml"]) == EXPECTED
    assert locations(["dagster", "dev"]) == EXPECTED
    with open_instance(tmp_path / "home", Lake(tmp_path / "lake")):
        pass
    assert locations(["dagster", "dev", "-w", str(workspace_path(tmp_path / "home"))]) == EXPECTED


def test_projects_of_dagster_and_dg():
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]
    names = [tool["dagster"]["code_location_name"], tool["dg"]["project"]["code_location_name"]]
    assert names == [CODE_LOCATION, CODE_LOCATION]


@pytest.mark.parametrize("unit", ["imrec-webserver.service", "imrec-daemon.service"])
def test_services(unit):
    read = configparser.ConfigParser(strict=True, interpolation=None)
    read.read(DEPLOY / unit)
    assert locations(shlex.split(read["Service"]["ExecStart"])) == EXPECTED


def test_containers():
    manifests = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text("utf-8")))
    (pod,) = (m["spec"]["template"]["spec"] for m in manifests if m["kind"] == "StatefulSet")
    for container in pod["containers"]:
        assert locations(container["command"]) == EXPECTED
    (config,) = (m["data"]["workspace.yaml"] for m in manifests if m["kind"] == "ConfigMap")
    assert yaml.safe_load(config) == yaml.safe_load((DEPLOY / "workspace.yaml").read_text("utf-8"))
