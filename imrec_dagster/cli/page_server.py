"""Serving the page until Ctrl-C, for several commands."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
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

Announce = Callable[[socket.socket], object]


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


def announce_page(listener: socket.socket, host: str = _HOST, *, token: str | None = None) -> str:
    """Print the address of a page, with its token if it has one; return it."""
    name = f"[{host}]" if ":" in host else host
    address = f"http://{name}:{listener.getsockname()[1]}/"
    address = f"{address}?token={token}" if token else address
    click.echo(address)
    click.echo("stop it with Ctrl-C", err=True)
    return address


@contextmanager
def serving_waiting_page(lake: "Lake", listener: socket.socket) -> Iterator[None]:
    """Serve a page that waits for the first generation of a lake, within the block; the listener stays open.

    Args:
        listener: See `listen_locally`.
    """
    import uvicorn

    from imrec_core.web.limits import Limits
    from imrec_core.web.security import LOOPBACK
    from imrec_core.web.server import server_config
    from imrec_core.web.waiting import create_waiting_app

    limits = Limits()
    server = uvicorn.Server(server_config(create_waiting_app(lake, hosts={_HOST, *LOOPBACK}, limits=limits), limits))
    served = listener.dup()  # the server closes its sockets at its end
    thread = threading.Thread(target=server.run, kwargs={"sockets": [served]}, name="imrec-waiting-page", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()


def serve_locally(lake: "Lake", listener: socket.socket, announce: Announce = announce_page) -> None:
    """Serve the page over a lake to this machine until Ctrl-C, without a token.

    Args:
        listener: See `listen_locally`.
        announce: Called with the listener once the lake is open.

    Raises:
        MissingTable: The lake has no generation.
        StaleIndex: No generation can be read.
    """
    from imrec_core.web import create_app
    from imrec_core.web.limits import Limits
    from imrec_core.web.security import LOOPBACK

    limits = Limits()
    app = create_app(lake, hosts={_HOST, *LOOPBACK}, limits=limits, warm_up=True)
    announce(listener)
    run_server(app, limits, listener)


def run_server(app: "FastAPI", limits: "Limits", listener: socket.socket) -> None:
    """Serve an application until Ctrl-C."""
    import uvicorn

    from imrec_core.web.server import server_config

    with suppress(KeyboardInterrupt):  # the way to stop it
        uvicorn.Server(server_config(app, limits)).run(sockets=[listener])
