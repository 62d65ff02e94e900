"""`imrec serve`: the page and the HTTP API over a lake."""

import secrets
import socket
from contextlib import suppress
from dataclasses import replace

import click

from imrec_core.errors import ImrecError, MissingDependency
from imrec_core.lake.lake import Lake
from imrec_dagster.cli.options import lake_option

_SHORTEST = 8  # characters of a token


@click.command()
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Where to listen; others than this machine need a token."
)
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0 for any that is free.")
@click.option(
    "--token",
    envvar="IMREC_TOKEN",
    metavar="TOKEN",
    help="What a request must show (or IMREC_TOKEN); beyond this machine one is made up.",
)
@click.option(
    "--upload-mb", default=64, show_default=True, type=click.IntRange(1, 1000), help="Largest request with pictures."
)
@click.option(
    "--filter-seconds",
    default=5.0,
    show_default=True,
    type=click.FloatRange(0.1, 600),
    help="That a condition may take.",
)
@lake_option
def serve(host: str, port: int, token: str | None, upload_mb: int, filter_seconds: float, lake: str) -> None:
    """Serve a page to search with the mouse, and an HTTP API, until Ctrl-C."""
    try:
        import fastapi  # noqa: F401
        import prometheus_client  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn
    except ModuleNotFoundError as error:
        raise MissingDependency(error.name or "fastapi", extra="web") from error
    from imrec_core.web import create_app
    from imrec_core.web.limits import Limits
    from imrec_core.web.security import LOOPBACK, is_loopback

    if token is not None and len(token) < _SHORTEST:
        raise click.BadParameter(f"has {len(token)} characters; take {_SHORTEST} or more", param_hint="--token")
    if token is None and not is_loopback(host):
        token = secrets.token_urlsafe(24)
    hosts = {host, *LOOPBACK} if is_loopback(host) else None
    limits = replace(Limits(), upload_bytes=upload_mb * 1_000_000, filter_seconds=filter_seconds)
    app = create_app(Lake(lake), token=token, hosts=hosts, limits=limits, warm_up=True)
    with _listening(host, port) as found:
        shown = f"[{host}]" if ":" in host else host
        address = f"http://{shown}:{found.getsockname()[1]}/"
        click.echo(f"{address}?token={token}" if token else address)
        click.echo("stop it with Ctrl-C", err=True)
        # Without its log of requests, in which tokens would be.
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=5
        )
        with suppress(KeyboardInterrupt):  # as it is meant to end
            uvicorn.Server(config).run(sockets=[found])


def _listening(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise ImrecError(
            f"cannot listen on {host}, port {port}: {error.strerror}; take another --port or --host"
        ) from error
