"""The grid of the page in Chromium at 100,000 rows: how long its controls, its jumps and its scrolling take."""

from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from imrec_core import Lake
from imrec_core.index.build import build_generation
from tests.benchmarks.rows import Row
from tests.benchmarks.testbed import Testbed
from tests.support import toy
from tests.support.browser import Browser, chromium, until
from tests.support.page import show_sql
from tests.support.serving import serving

_SHARD = 10_000
_KINDS = 500  # of images whose colours are alike
_PAUSE = 500  # milliseconds that a user takes, at least, between two actions
_TIMES = 7
_FRAMES = 240  # of a scroll from the first to the last hit
_ORDERS = ("Newest", "Name", "Folder", "Largest")
_FILTERS = ("width > 300", "path LIKE '%7%'", "height = 300")

# Seconds from the event of the user until what is shown is of a new result.
_WATCH = """() => {
    let started = null;
    window.took = null;
    for (const name of ["change", "keydown"]) {
        addEventListener(name, (event) => (started ??= event.timeStamp), { capture: true, once: true });
    }
    new MutationObserver((_, watcher) => {
        watcher.disconnect();
        requestAnimationFrame(() => (window.took = (performance.now() - started) / 1000));
    }).observe(document.querySelector("#said"), { childList: true });
}"""
# Seconds from the event of the user until the page is painted again.
_WATCH_PAINT = """() => {
    window.took = null;
    for (const name of ["click", "keydown"]) {
        addEventListener(name, ({ timeStamp: started }) => requestAnimationFrame(() => requestAnimationFrame(() => {
            window.took ??= (performance.now() - started) / 1000;
        })), { capture: true, once: true });
    }
}"""
_SCROLL = """async (frames) => {
    const end = document.documentElement.scrollHeight - innerHeight, took = [];
    let before = await new Promise(requestAnimationFrame);
    for (let i = 1; i <= frames; i++) {
        scrollTo(0, (end * i) / frames);
        const now = await new Promise(requestAnimationFrame);
        took.push((now - before) / 1000);
        before = now;
    }
    return took;
}"""
_JUMP = """async (share) => {
    const frame = () => new Promise(requestAnimationFrame), started = performance.now();
    scrollTo(0, document.documentElement.scrollHeight * share);
    await frame();
    do await frame(); while (document.querySelector(".grid .waiting"));
    return (performance.now() - started) / 1000;
}"""
_IS_THERE = "!document.querySelector('.grid .waiting') && Boolean(document.querySelector('a.tile'))"


def measure(work: Testbed) -> list[Row]:
    """Medians, with thumbnails that do not exist, so that the grid and its hits are measured and not the pictures."""
    with serving(_lake(work)) as served, chromium() as running:
        browser = Browser(running)
        browser.allow("answered 404")
        page = browser.open(served.url)
        until(page, _IS_THERE)
        first = [_chosen(page, lambda name=name: page.select_option("#order", label=name)) for name in _ORDERS]
        again = [_chosen(page, lambda name=name: page.select_option("#order", label=name)) for name in _ORDERS]
        controls = _controls(page)
        show_sql(page)
        filters = [_chosen(page, lambda sql=sql: _filter(page, sql)) for sql in (*_FILTERS, "")]
        jumps = [_jump(page, at / (_TIMES + 1)) for at in range(1, _TIMES + 1)]
        jumps.append(_jump(page, 1))
        frames = np.array(page.evaluate(_SCROLL, _FRAMES))
        arrived = _arrival(page)
        searches = [_like(page, place) for place in range(_TIMES)]
        nodes = page.evaluate("document.querySelectorAll('.grid li').length")
        browser.close()
    of = f"of {work.rows:,} rows"
    return [
        Row("order, first use", median(first), "s", f"{of}, until its tiles stand in the grid", at_most=0.3),
        Row("order, again", median(again), "s", "the same, from the cache of the server", at_most=0.3),
        Row("control, the slowest", max(controls), "s", "size of tiles, selection: until painted", at_most=0.1),
        Row("filter", median(filters), "s", "the same, with the exact count", at_most=0.3),
        Row("more like this", median(searches), "s", "by id", at_most=0.3),
        Row("jump by the scroll bar", median(jumps), "s", "until the hits of the place are shown", at_most=0.3),
        Row("frame while scrolling to the end", float(np.median(frames)), "s", f"{_FRAMES} frames for all hits"),
        Row("slowest of twenty frames", float(np.quantile(frames, 0.95)), "s", "the same", at_most=0.1),
        Row("hits after the last frame", arrived, "s", "until those of the end are shown"),
        Row("elements of the grid", nodes, "", "of tiles in the document"),
    ]


def _lake(work: Testbed) -> Lake:
    """Rows of images that do not exist, of three shapes in 50 folders, with vectors by a feature that is cheap."""
    rng, count = np.random.default_rng(0), work.rows
    kinds, of = rng.dirichlet(np.full(512, 0.1), _KINDS), rng.integers(0, _KINDS, count)
    vectors = (0.7 * kinds[of] + 0.3 * rng.dirichlet(np.full(512, 0.1), count)).astype(np.float32)
    names = [f"folder-{i % 50:02d}/{i:06d}.jpg" for i in range(count)]
    lake = toy.vector_lake(work.folder / "grid", {"rgb_histogram": vectors}, shard_size=_SHARD, names=names)
    for number, shard in enumerate(lake.live_shards()):
        rows = range(number * _SHARD, min(count, (number + 1) * _SHARD))
        sizes = {"width": [(400, 300, 500)[i % 3] for i in rows], "height": [(300, 400, 400)[i % 3] for i in rows]}
        toy.write_tables(lake, shard, [f"{i:032x}" for i in rows], {}, **sizes)
    build_generation(lake)
    return lake


def _controls(page: Any) -> list[float]:
    """Return the seconds until the tiles have another size, and until a tile is selected or not."""
    sizes = [lambda size=size: page.click(f"[data-size={size}]") for size in ("large", "small", "medium")]
    page.locator("a.tile").first.focus()
    selects = [lambda: page.keyboard.press("x")] * 4
    return [_chosen(page, act, _WATCH_PAINT) for act in (*selects, *sizes)]


def _chosen(page: Any, act: Any, watch: str = _WATCH) -> float:
    """Return the seconds from the event of an action to what it changes, by default the line that says the result."""
    page.wait_for_timeout(_PAUSE)
    page.evaluate(watch)
    act()
    until(page, "window.took !== null")
    return float(page.evaluate("window.took"))


def _filter(page: Any, where: str) -> None:
    page.fill("#where", where)
    page.press("#where", "Enter")


def _like(page: Any, place: int) -> float:
    page.locator("a.tile").nth(place).focus()
    return _chosen(page, lambda: page.keyboard.press("m"))


def _jump(page: Any, share: float) -> float:
    """Return the seconds from a jump to a share of the height until no tile there waits for its hit."""
    page.evaluate("scrollTo(0, 0)")
    until(page, _IS_THERE)
    page.wait_for_timeout(_PAUSE)
    return float(page.evaluate(_JUMP, share))


def _arrival(page: Any) -> float:
    started = perf_counter()
    until(page, _IS_THERE)
    return perf_counter() - started
