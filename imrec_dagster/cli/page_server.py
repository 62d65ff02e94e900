"""Serving the page until Ctrl-C, for several commands."""

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from imrec_core.errors import ImrecError, MissingDependency
from imrec_dagster.cli.listening import listen

if TYPE_CHECKING:
    from fastapi import FastAPI

    from imrec_core.lake.lake import Lake
    from imrec_core.web.limits import Limits

DEFAULT_PORT = 8000
_HOST = "127.0.0.1"

OpenAddress = Callable[[str], object]


def require_web() -> None:
    """Check that the libraries of the page are installed.

    Raises:
        MissingDependency: One is not.
    """
    try:
        import fastapi  # noqa: F401
        import prometheus_client  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingDependency(error.name or "fastapi", extra="web") from error


def listen_locally(port: int | None) -> socket.socket:
    """Return a socket that listens on 127.0.0.1.

    Args:
        port: The port, or 0 for any free one. None: `DEFAULT_PORT`, or any free one if that is busy.

    Raises:
        ImrecError: The port is busy.
    """
    if port is None:
        with suppress(ImrecError):
            return listen(_HOST, DEFAULT_PORT, advice="")
    return listen(_HOST, port or 0, advice="take another --port")


def serve_locally(lake: "Lake", listener: socket.socket, *, open_address: OpenAddress | None = None) -> None:
    """Serve the page over a lake to this machine until Ctrl-C, without a token.

    Args:
        listener: See `listen_locally`.
        open_address: Called with the address, to which requests can be sent then.

    Raises:
        MissingTable: The lake has no generation.
        StaleIndex: No generation can be read.
    """
    from imrec_core.web import create_app
    from imrec_core.web.limits import Limits
    from imrec_core.web.security import LOOPBACK

    limits = Limits()
    app = create_app(lake, hosts={_HOST, *LOOPBACK}, limits=limits, warm_up=True)
    run_server(app, limits, listener, _HOST, open_address=open_address)


def run_server(
    app: "FastAPI",
    limits: "Limits",
    listener: socket.socket,
    host: str,
    *,
    token: str | None = None,
    open_address: OpenAddress | None = None,
) -> None:
    """Print the address of an application, with its token if it has one, and serve it until Ctrl-C."""
    import uvicorn

    from imrec_core.web.server import server_config

    name = f"[{host}]" if ":" in host else host
    address = f"http://{name}:{listener.getsockname()[1]}/"
    address = f"{address}?token={token}" if token else address
    click.echo(address)
    click.echo("stop it with Ctrl-C", err=True)
    if open_address is not None:
        open_address(address)
    with suppress(KeyboardInterrupt):  # the way to stop it
        uvicorn.Server(server_config(app, limits)).run(sockets=[listener])
