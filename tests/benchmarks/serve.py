"""The HTTP API over 100,000 rows, asked as a page asks it, beside the recommender itself.

The server is a process of its own, as `imrec serve` starts it; who asks shares the cores with it.
"""

import http.client
import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from time import perf_counter
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

from imrec_core.images.thumbnails import SIDES, thumbnail
from imrec_core.index.build import build_generation
from imrec_core.index.opening import open_generation
from imrec_core.lake.lake import Lake
from imrec_core.lake.settings import Settings
from imrec_core.search.query import ImageId
from imrec_core.search.recommender import Recommender
from tests.benchmarks.large import SHARD_SIZE, large_vectors
from tests.benchmarks.rows import Row
from tests.benchmarks.testbed import Testbed
from tests.support import toy

_ROWS = 100_000
_ASKED, _UPLOADS, _PAGES, _SMALL = 200, 12, 10, 200
_USERS, _EACH = 50, 20
_K = 60
_BY = {"efficientnet_lite0": 1.0, "hsv_histogram": 0.5, "phash": 0.3}
_TWELVE = (4000, 3000)


def measure(work: Testbed) -> list[Row]:
    """Medians with one user, then what fifty at once get done, in turns with calling the recommender."""
    lake = toy.vector_lake(work.folder / "serve", large_vectors(work, _ROWS), shard_size=SHARD_SIZE)
    build_generation(lake)
    rec = Recommender.open(lake)
    rows = np.random.default_rng(1).permutation(_ROWS)[: _USERS * _EACH]
    ids = rec.generation.columns("image_id")["image_id"].take(rows).to_pylist()
    photos = _large_photos(work, _UPLOADS + 1)
    with _served(lake) as address:
        ask = _Asking(address)
        by_id = _median(lambda i: ask.search(ids[i]), _ASKED)
        mixed = _median(lambda i: ask.search(ids[i], by=_BY), _ASKED)
        upload = _median(lambda i: ask.upload(photos[i]), _UPLOADS)
        turns = [(_direct(rec, ids), _together(address, ids)) for _ in range(3)]
    direct, served = (float(np.median(rates)) for rates in zip(*turns))
    return [
        Row("rows", len(rec), "", f"k = {_K}"),
        Row("by image_id", by_id, "ms", at_most=15),
        Row("by image_id, three features", mixed, "ms"),
        Row("by upload of 12 megapixels", upload, "ms", f"{len(photos[0]) / 1e6:.1f} MB each", at_most=120),
        Row(f"{_USERS} users at once", served, "searches/s", "three features; no error"),
        Row("the recommender, as many threads", direct, "searches/s", "three features"),
        Row("users, of the recommender", served / direct, "×", at_least=0.7),
        Row("60 thumbnails, already cached", _thumbnails(work), "ms", "by six connections", at_most=300),
        *(Row(f"a thumbnail of {side} pixels", kb, "kB", f"of {_SMALL} photos") for side, kb in _sizes(work).items()),
    ]


class _Asking:
    """One connection that is kept."""

    def __init__(self, address: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=120)

    def search(self, image_id: str, **options: object) -> None:
        asked = json.dumps({"like": [{"image_id": image_id}], "k": _K, **options})
        assert len(json.loads(self._post(asked.encode(), "application/json"))["hits"]) == _K

    def upload(self, photo: bytes) -> None:
        head = b'--x\r\nContent-Disposition: form-data; name="images"; filename="a.jpg"\r\n\r\n'
        self._post(head + photo + b"\r\n--x--\r\n", "multipart/form-data; boundary=x")

    def thumbnail(self, image_id: str) -> None:
        self._connection.request("GET", f"/thumb/{image_id}")
        self._read()

    def _post(self, body: bytes, kind: str) -> bytes:
        self._connection.request("POST", "/api/search", body, {"Content-Type": kind})
        return self._read()

    def _read(self) -> bytes:
        answer = self._connection.getresponse()
        found = answer.read()
        assert answer.status == 200, found
        return found


@contextmanager
def _served(lake: Lake) -> Iterator[str]:
    command = [sys.executable, "-m", "imrec_dagster.cli", "serve", "--port", "0", "--lake", str(lake.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def _median(ask: Callable[[int], None], count: int) -> float:
    """Milliseconds, after one round that opens what is opened once."""
    spent = []
    for i in range(count + 1):
        started = perf_counter()
        ask(i)
        spent.append(1000 * (perf_counter() - started))
    return float(np.median(spent[1:]))


def _direct(rec: Recommender, ids: Sequence[str]) -> float:
    """Searches a second of the recommender with as many threads."""
    started = perf_counter()
    with ThreadPoolExecutor(_USERS) as pool:
        list(pool.map(lambda image_id: rec.search(ImageId(image_id), k=_K, by=_BY), ids))
    return len(ids) / (perf_counter() - started)


def _together(address: str, ids: Sequence[str]) -> float:
    """Searches a second of users who each wait for an answer before they ask again."""

    def user(i: int) -> None:
        ask = _Asking(address)
        for image_id in ids[i * _EACH : (i + 1) * _EACH]:
            ask.search(image_id, by=_BY)

    started = perf_counter()
    with ThreadPoolExecutor(_USERS) as pool:
        list(pool.map(user, range(_USERS)))
    return len(ids) / (perf_counter() - started)


def _large_photos(work: Testbed, count: int) -> list[bytes]:
    """JPEGs as a telephone takes them, with grain; each another one, so that none is known by its bytes."""
    grain = np.random.default_rng(0).normal(0, 5, (_TWELVE[1], _TWELVE[0], 1))
    made = []
    for i, path in enumerate(work.sample(count)):
        with Image.open(path) as photo:
            file = io.BytesIO()
            pixels = np.asarray(photo.convert("RGB").resize(_TWELVE)) + grain
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
        made.append(file.getvalue() + str(i).encode())
    return made


def _sizes(work: Testbed) -> dict[int, float]:
    """Mean size of thumbnails by their longer side; photos that are smaller stay as they are."""
    photos = [path.read_bytes() for path in work.sample(_SMALL)]
    most = Settings().max_pixels
    return {side: float(np.mean([len(thumbnail(p, side, max_pixels=most)) for p in photos])) / 1000 for side in SIDES}


def _thumbnails(work: Testbed) -> float:
    """Milliseconds until a page of thumbnails is there that were made before."""
    lake = Lake(work.folder / "photos")  # `large_vectors` has built it
    ids = open_generation(lake).columns("image_id")["image_id"].to_pylist()[:60]
    with _served(lake) as address, ThreadPoolExecutor(6) as pool:
        asking = [_Asking(address) for _ in range(6)]

        def page(_: int) -> None:
            list(pool.map(lambda i: [asking[i].thumbnail(one) for one in ids[i::6]], range(6)))

        return _median(page, _PAGES)
