"""`imrec ui`: Dagster's web UI over a lake."""

import os
import sys

import click

from imrec_core.lake.lake import Lake
from imrec_dagster.cli.options import lake_option


@click.command()
@click.option("--port", default=3000, show_default=True, help="Port to listen on.")
@lake_option
def ui(port: int, lake: str) -> None:
    """Serve Dagster's web UI over the lake on 127.0.0.1: assets, backfills, schedules."""
    serve_dagster(Lake(lake), port)


def serve_dagster(lake: Lake, port: int) -> None:
    """Replace this process by `dagster dev` over the lake, on 127.0.0.1.

    Raises:
        ImrecError: The lake cannot be opened.
    """
    from imrec_dagster.home import dagster_home, open_instance

    lake.open_for_writing()
    home = str(dagster_home(lake))
    # Created before webserver and daemon start: their race can damage it (dagster#27390).
    with open_instance(home, lake):
        pass
    environment = {**os.environ, "DAGSTER_HOME": home, "IMREC_LAKE": str(lake.root), "DAGSTER_DISABLE_TELEMETRY": "yes"}
    arguments = ["-m", "dagster", "dev", "-m", "imrec_dagster.definitions", "-h", "127.0.0.1", "-p", str(port)]
    os.execve(sys.executable, [sys.executable, *arguments], environment)
