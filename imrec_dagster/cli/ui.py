"""`imrec ui`: Dagster's web UI over a lake."""

import os
import runpy
import signal
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imrec_core.errors import ImrecError
from imrec_dagster.cli.help import examples
from imrec_dagster.cli.listening import listen
from imrec_dagster.cli.options import lake_option

if TYPE_CHECKING:
    from imrec_core.lake.lake import Lake

_HOST = "127.0.0.1"


@click.command(short_help="Serve Dagster's web UI over the lake", epilog=examples("imrec ui --port 3001"))
@click.option(
    "--port", default=3000, show_default=True, type=click.IntRange(1, 65535), help="Port to listen on, on 127.0.0.1."
)
@lake_option
def ui(port: int, lake: str) -> None:
    """Serve Dagster's web UI over the lake on 127.0.0.1 until Ctrl-C: assets, backfills, schedules."""
    from imrec_core.lake.lake import Lake

    serve_dagster(Lake(lake), port)


def serve_dagster(lake: "Lake", port: int) -> None:
    """Run webserver and daemon of Dagster over the lake, on 127.0.0.1, until Ctrl-C.

    Raises:
        ImrecError: The lake cannot be opened, the port is busy, or a daemon runs over its instance already.
    """
    from imrec_dagster.home import dagster_home, open_instance
    from imrec_dagster.home_files import workspace_path
    from imrec_dagster.single_daemon import only_daemon

    lake.open_for_writing()
    home = dagster_home(lake)
    listen(_HOST, port, advice="take another --port").close()
    # Opened before webserver and daemon start: their race can damage its storage (dagster#27390).
    with open_instance(home, lake) as instance, only_daemon(home, instance):
        click.echo(f"http://{_HOST}:{port}/")
        click.echo(f"{_summary(lake, home)}; stop it with Ctrl-C", err=True)
        _run_dagster(
            ["dev", "-w", str(workspace_path(home)), "-h", _HOST, "-p", str(port)],
            {"DAGSTER_HOME": str(home), "IMREC_LAKE": str(lake.root), "DAGSTER_DISABLE_TELEMETRY": "yes"},
        )


def _summary(lake: "Lake", home: Path) -> str:
    """Format what is served: the lake, its sources, and where Dagster's files are."""
    try:
        names = ", ".join(lake.settings().sources)
        sources = f"sources {names}" if names else "no image folder yet; add one with: imrec sources add FOLDER"
    except ImrecError as error:  # the page is served even so, and the first run fails with the same words
        sources = str(error)
    return f"Dagster over the lake {lake.root} ({sources}), whose files are in {home}"


def _run_dagster(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Run a command of Dagster in this process, as `python -m dagster` does."""
    # `dagster dev` advises `dg dev`, which needs a project folder.
    warnings.filterwarnings("ignore", "Function `dev_command` is superseded", FutureWarning)
    # A shell has processes in the background ignore Ctrl-C, and Dagster would then ignore SIGTERM too.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["dagster", *arguments]
    os.environ.update(environment)
    try:
        runpy.run_module("dagster", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code:
            raise
