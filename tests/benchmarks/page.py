"""The page in Chromium over 100,000 rows: when something is seen, when the first pictures are, how fast it answers."""

import hashlib
from pathlib import Path
from statistics import median
from typing import Any

from imrec_core import Lake
from imrec_core.images.decode import MAX_PIXELS, decode
from imrec_core.images.thumbnails import Thumbnails
from imrec_core.index.build import build_generation
from imrec_core.lake.storage.files import fingerprint
from tests.benchmarks.large import SHARD_SIZE, large_vectors
from tests.benchmarks.rows import Row
from tests.benchmarks.testbed import Testbed
from tests.support import toy
from tests.support.browser import Browser, chromium, first_paint, until
from tests.support.serving import serving

_ROWS = 100_000
_SHOWN = 30  # pictures, at least, that the window shows
_THERE = 240  # photos that have files; a person who scrolls sees no others
_TIMES = 7
_SIDE = 320
_GET_ALL = """async () => {
    const addresses = [...document.querySelectorAll("a.tile img")].slice(0, %d).map((image) => image.src);
    const started = performance.now();
    const got = await Promise.all(addresses.map(async (at) => (await fetch(at, { cache: "no-store" })).blob()));
    if (got.some((one) => one.type !== "image/jpeg")) throw new Error("not a picture");
    return (performance.now() - started) / 1000;
}"""


def measure(work: Testbed) -> list[Row]:
    """Medians; each first paint is that of a browser that has never seen the page."""
    with serving(_lake(work)) as served, chromium() as running:
        pages = [_opened(running, served.url) for _ in range(_TIMES)]
        browser = Browser(running)
        browser.allow("answered 404")  # most rows have no file
        page = browser.open(served.url)
        until(page, f"document.querySelectorAll('a.tile').length >= {_SHOWN}")
        thumbnails = median(page.evaluate(_GET_ALL % _SHOWN) for _ in range(_TIMES))
        browser.close()
    return [
        Row("first paint", median(paint for paint, _ in pages), "s", "a browser without a cache", at_most=1.0),
        Row(f"{_SHOWN} pictures are seen", median(seen for _, seen in pages), "s", "the same, with thumbnails"),
        Row(f"{_SHOWN} thumbnails", thumbnails, "s", "kept by the server, not by the browser", at_most=0.3),
    ]


def _lake(work: Testbed) -> Lake:
    """100,000 rows, of which the first are of photos that are there, with their thumbnails."""
    lake = toy.vector_lake(work.folder / "page", large_vectors(work, _ROWS), shard_size=SHARD_SIZE)
    shard, *_ = lake.live_shards()
    manifest = lake.read_table(lake.catalog_path(shard))
    there = [
        _there(lake, work.folder / "photos" / path, photo)
        for path, photo in zip(manifest["path"].to_pylist(), sorted(work.photos.rglob("*.jpg"))[:_THERE])
    ]
    others = [(image_id, 1, 1, 1, 1) for image_id in manifest["image_id"].to_pylist()[len(there) :]]
    hashes, sizes, times, widths, heights = zip(*there, *others)
    toy.write_tables(lake, shard, hashes, {}, byte_size=sizes, mtime_ns=times, width=widths, height=heights)
    build_generation(lake)
    return lake


def _there(lake: Lake, file: Path, photo: Path) -> tuple[str, int, int, int, int]:
    """Content hash, size, time, width and height of a photo that is put there, and its thumbnail beside it."""
    data = photo.read_bytes()
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(data)
    content_hash = hashlib.blake2b(data, digest_size=16).hexdigest()
    Thumbnails(lake).of(file, content_hash, _SIDE, max_pixels=MAX_PIXELS)
    byte_size, mtime_ns = fingerprint(file)
    picture = decode(data)
    return content_hash, byte_size, mtime_ns, picture.width, picture.height


def _opened(running: Any, url: str) -> tuple[float, float]:
    """Seconds until a new browser shows something, and until the first pictures are there."""
    browser = Browser(running)
    page = browser.open(url)
    until(page, f"document.querySelectorAll('a.tile').length >= {_SHOWN}")
    last = "Math.max(...performance.getEntriesByType('resource').map((one) => one.responseEnd))"
    page.wait_for_load_state("networkidle")
    found = first_paint(page), float(page.evaluate(last)) / 1000
    browser.close()
    return found
