"""`imrec open`: build a lake in the background, and serve its page in the browser.

The build is a process of its own, which runs `imrec build`: a build and a search share no memory, and Dagster's
handling of Ctrl-C does not meet that of the server.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING

import click

from imrec_core.errors import BadSource
from imrec_dagster.cli.completion import complete_folders
from imrec_dagster.cli.help import examples
from imrec_dagster.cli.options import lake_option, trust_option
from imrec_dagster.cli.page_server import (
    DEFAULT_PORT,
    Announce,
    announce_page,
    listen_locally,
    require_web,
    serve_locally,
    serving_waiting_page,
)

if TYPE_CHECKING:
    from imrec_core.lake.lake import Lake

_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_POLL = 0.5  # seconds between two looks for the first generation
_GRACE = 30.0  # seconds that an interrupted build gets to end; a batch of a large network takes some


@click.command(
    "open",
    short_help="Build in the background, and open the search page",
    epilog=examples("imrec open ~/Pictures", "imrec open --no-browser --port 8080"),
)
@click.argument("folders", nargs=-1, metavar="[FOLDER | NAME=FOLDER]...", shell_complete=complete_folders)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help=f"Port to listen on, on 127.0.0.1; 0 for any free one. Default: {DEFAULT_PORT}, or a free one if it is busy.",
)
@click.option("--no-browser", is_flag=True, help="Print the address of the page, and open no browser.")
@trust_option
@lake_option
def open_page(folders: tuple[str, ...], port: int | None, no_browser: bool, lake: str) -> None:
    """Add image folders to the lake, build it in the background, and open the search page until Ctrl-C.

    Without FOLDER, the lake is opened as it is, and a build adds what is new in its folders. The page of a new lake
    waits for its first images. Ctrl-C ends the build too; completed work is kept.
    """
    from imrec_core.lake.lake import Lake

    require_web()
    opened = Lake(lake)
    if not folders and not opened.settings().sources:
        raise BadSource(f"the lake {opened.root} has no image folder yet; give one: imrec open FOLDER")
    announce: Announce = partial(_announce, browse=not no_browser)
    with listen_locally(port) as listener, _building(folders, lake) as build:
        if opened.current_generation() is None:
            if not _wait_for_generation(opened, build, listener, announce):
                sys.exit(build.returncode or 1)  # the build has printed why
            announce = _announced
        serve_locally(opened, listener, announce)
        if build.poll():
            sys.exit(build.returncode)


@contextmanager
def _handling(handler: Callable[[int, FrameType | None], object] | signal.Handlers) -> Iterator[None]:
    """Handle SIGINT, SIGTERM and SIGHUP so within the block."""
    former = {number: signal.signal(number, handler) for number in _ENDS}
    try:
        yield
    finally:
        for number, before in former.items():
            signal.signal(number, before)


@contextmanager
def _building(folders: Sequence[str], lake: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run `imrec build` within the block, with all its output on stderr; end it at the end of the block.

    SIGTERM and SIGHUP raise `KeyboardInterrupt` as SIGINT does, so that they end the build too. A shell has processes
    in the background ignore SIGINT; the build must not inherit that.
    """
    command = [sys.executable, "-m", "imrec_dagster.cli", "build", *folders, "--publish-early", "--lake", lake]
    with _handling(signal.default_int_handler):
        # In a process group of its own, so that Ctrl-C in a terminal reaches the build once, from here.
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=2, process_group=0)
        try:
            yield process
        finally:
            with _handling(signal.SIG_IGN):  # a second Ctrl-C must not leave the build behind
                _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Interrupt a build as Ctrl-C does, and wait for its end; kill it if that takes too long."""
    if process.poll() is None:
        click.echo("ending the build; completed work is kept", err=True)
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_for_generation(
    lake: "Lake", build: "subprocess.Popen[bytes]", listener: socket.socket, announce: Announce
) -> bool:
    """Serve a waiting page from the first scan to the first generation; return False if the build ends before that."""
    click.echo("building; the page shows the first images as soon as they can be searched", err=True)
    if not _wait_until(lake.live_shards, build):
        return False  # no folder has images
    announce(listener)
    with serving_waiting_page(lake, listener):
        return _wait_until(lake.current_generation, build)


def _wait_until(is_there: Callable[[], object], build: "subprocess.Popen[bytes]") -> bool:
    """Wait until something is there; return False if the build ends before that."""
    while not is_there():
        if build.poll() is not None:
            return bool(is_there())
        time.sleep(_POLL)
    return True


def _announce(listener: socket.socket, *, browse: bool) -> None:
    """Print the address of the page; with `browse`, open it in a browser if there is a display for one."""
    if sys.stderr.isatty():
        click.echo(err=True)  # the cursor is behind the progress of the build
    address = announce_page(listener)
    has_display = sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if browse and has_display:  # in a thread: some browsers keep their caller waiting
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()


def _announced(_: socket.socket) -> None:
    """Print nothing: the waiting page has the same address."""
