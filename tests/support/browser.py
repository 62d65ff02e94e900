"""Headless Chromium for tests of the page; records errors, failed requests and requests to other hosts."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser")
_ARGUMENTS = (
    "--no-sandbox",  # containers do not support it
    "--disable-dev-shm-usage",
    "--use-angle=swiftshader",  # WebGL without a graphics card, for the map
    "--enable-unsafe-swiftshader",
)
SIZES = ((1440, 900), (1100, 800), (390, 844))
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 360, "height": 740}
at_every_size = pytest.mark.parametrize(
    "browser",
    [pytest.param({"width": width, "height": height}, id=f"{width}px") for width, height in SIZES],
    indirect=True,
)
"""Marks a test of which pages are opened at each of `SIZES`."""

_PATIENCE = 30.0  # seconds; where other work keeps all cores busy, a page takes ten times as long
_SERIOUS = ("serious", "critical")


class Browser:
    """Opens pages, and fails the test at its end if a page had problems."""

    def __init__(self, chromium: Any, size: dict[str, int] = DESKTOP) -> None:
        self._chromium, self._size = chromium, size
        self._contexts: list[Any] = []
        self.problems: list[str] = []
        self._allowed: list[str] = []

    def allow(self, part: str) -> None:
        """Allow problems that contain a text, for example `" 400 "` or the path of a request."""
        self._allowed.append(part)

    def open(
        self,
        address: str,
        *,
        size: dict[str, int] | None = None,
        before: Callable[[Any], object] = lambda page: None,
        **options: Any,
    ) -> Any:
        """Open an address in a new context.

        Args:
            size: Of the window; None for that of this browser.
            before: Called with the page before it loads, for example to set `page.route(...)`.
            options: Options of a playwright context, such as `color_scheme="dark"`.
        """
        context = self._chromium.new_context(viewport=size or self._size, **options)
        self._contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(_PATIENCE * 1000)
        self._watch(page, urlsplit(address).netloc)
        before(page)
        page.goto(address)
        return page

    def _watch(self, page: Any, host: str) -> None:
        def on_request(request: Any) -> None:
            address = urlsplit(request.url)
            if address.scheme not in ("data", "blob") and address.netloc != host:
                self.problems.append(f"request to another host: {request.url}")

        def on_console(message: Any) -> None:
            if message.type in ("error", "warning") and not _repeats_a_status(message.text):
                self.problems.append(f"{message.type} in the console: {message.text}")

        def on_response(response: Any) -> None:
            if response.status >= 400:
                self.problems.append(f"answered {response.status} : {response.request.method} {response.url}")

        def on_failure(request: Any) -> None:
            if request.failure != "net::ERR_ABORTED":  # the page aborts requests when it sends newer ones
                self.problems.append(f"failed, {request.failure}: {request.url}")

        page.on("request", on_request)
        page.on("console", on_console)
        page.on("response", on_response)
        page.on("requestfailed", on_failure)
        page.on("pageerror", lambda error: self.problems.append(f"error in the page: {error}"))

    def close(self) -> None:
        """Close all pages, and require that there were no problems except allowed ones.

        Raises:
            AssertionError: There were; the message lists them.
        """
        for context in self._contexts:
            context.close()
        self._contexts.clear()
        wrong = [problem for problem in self.problems if not any(part in problem for part in self._allowed)]
        assert not wrong, "\n".join(wrong)


def _repeats_a_status(text: str) -> bool:
    """Test whether a console message only repeats the status of a response, which is recorded with its address."""
    return text.startswith("Failed to load resource: the server responded with a status of")


@contextmanager
def chromium() -> Iterator[Any]:
    """Run Chromium within the block, or skip the test if it is not installed.

    Not for a whole session: while it runs, playwright holds the event loop of this thread.
    """
    if PROGRAM is None:
        pytest.skip("needs Chromium, for example Debian's package `chromium`")
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright, which `imrec[dev]` installs")
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=PROGRAM, args=list(_ARGUMENTS))
        try:
            yield running
        finally:
            running.close()


def accessibility_faults(page: Any, within: str | None = None) -> list[str]:
    """List the serious and critical findings of axe-core in the page as it is now, or in one element."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, context=within)
    return [
        f"{fault['id']}: {fault['help']}: {[node['html'][:160] for node in fault['nodes']][:3]}"
        for fault in found.response["violations"]
        if fault["impact"] in _SERIOUS
    ]


def has_sideways_scroll(page: Any) -> bool:
    """Test whether the page is wider than its window."""
    return bool(page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))


def until(page: Any, claim: str, seconds: float = _PATIENCE) -> None:
    """Wait until a JavaScript expression is true.

    playwright's own `wait_for_function` needs `eval`, which the page forbids.

    Raises:
        AssertionError: The expression was not true in time.
    """
    eventually(page, lambda: page.evaluate(claim), claim, seconds)


def eventually(page: Any, is_true: Callable[[], object], claim: str, seconds: float = _PATIENCE) -> None:
    """Wait until `is_true` is, while the page goes on; `claim` says what was not true in time.

    Raises:
        AssertionError: It was not true in time.
    """
    last = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < last, f"never true: {claim}"
        page.wait_for_timeout(20)


def pause_clock(page: Any) -> None:
    """Stop the time of a page whose clock is installed: only `page.clock.run_for(ms)` moves it on."""
    page.clock.pause_at(page.evaluate("Date.now()") / 1000 + 1)  # playwright refuses a time that has passed


def first_paint(page: Any) -> float:
    """Return the seconds from the request of the page to its first contentful paint."""
    paint = "performance.getEntriesByName('first-contentful-paint')[0]"
    until(page, f"Boolean({paint})")
    return float(page.evaluate(f"{paint}.startTime")) / 1000


def screenshot(page: Any, path: Path, *, colours: int = 0) -> None:
    """Save a PNG of the page; with `colours`, reduced to a palette of that size, which takes a third of the bytes."""
    page.screenshot(path=path)
    if colours:
        from PIL import Image

        picture = Image.open(path).convert("RGB")
        picture.quantize(colours, kmeans=3, dither=Image.Dither.NONE).save(path, optimize=True)
