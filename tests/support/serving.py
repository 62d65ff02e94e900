"""A web server over a small lake on a free local port, for tests by HTTP or in a browser."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from PIL import Image

from imrec_core import Lake
from imrec_core.web import create_app
from imrec_core.web.limits import Limits
from imrec_core.web.server import server_config
from tests.support import toy
from tests.support.pictures import encode

FEATURES = ("rgb_histogram", "hsv_histogram", "phash", "dhash")
MIX = "look"


def web_lake(folder: Path, photos: int = 60) -> Lake:
    """Build a lake of two sources, `photos` and `scans`, with a mix, four exact copies and four near duplicates."""
    toy.write_photos(folder / "photos", range(photos))
    scans = folder / "scans"
    scans.mkdir(parents=True)
    for seed in range(8):
        data = (folder / "photos" / f"photo_{seed:03d}.jpg").read_bytes()
        if seed >= 4:
            data = encode(Image.fromarray(toy.photo(seed)).resize((140, 105)), "JPEG", quality=80)
        (scans / f"copy_{seed:03d}.jpg").write_bytes(data)
    (scans / "wide.png").write_bytes(encode(np.repeat(toy.photo(100), 2, axis=1), "PNG"))
    lake = toy.new_lake(
        folder / "lake",
        FEATURES,
        sources={"photos": folder / "photos", "scans": scans},
        mixes={MIX: {"rgb_histogram": 0.6, "phash": 0.4}},
    )
    toy.build(lake)
    return lake


@dataclass(frozen=True)
class Served:
    """A running server.

    Attributes:
        url: URL without a trailing slash.
    """

    url: str
    lake: Lake


@contextmanager
def serving(lake: Lake, *, at: socket.socket | None = None, **options: Any) -> Iterator[Served]:
    """Serve a lake within the block, at a listening socket if given; `options` are those of `create_app`."""
    app = create_app(lake, **{"hosts": ("127.0.0.1", "localhost"), **options})
    with at.dup() if at else socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(server_config(app, options.get("limits") or Limits()))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            yield Served(f"http://127.0.0.1:{listening.getsockname()[1]}", lake)
        finally:
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()
