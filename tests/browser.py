"""Pages in Debian's Chromium, headless, which notice what a person would not: errors, refusals, other hosts."""

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
    "--no-sandbox",  # containers have none to offer
    "--disable-dev-shm-usage",
    "--use-angle=swiftshader",  # WebGL without a graphics card, for the map
    "--enable-unsafe-swiftshader",
)
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 360, "height": 740}
_SERIOUS = ("serious", "critical")


class Browser:
    """Opens pages and says, at the end of a test, what went wrong in them."""

    def __init__(self, chromium: Any) -> None:
        self._chromium = chromium
        self._contexts: list[Any] = []
        self.problems: list[str] = []
        self._allowed: list[str] = []

    def allow(self, part: str) -> None:
        """A problem that contains this is expected: `" 400 "`, the path of a request."""
        self._allowed.append(part)

    def open(
        self,
        address: str,
        *,
        size: dict[str, int] = DESKTOP,
        before: Callable[[Any], object] = lambda page: None,
        **options: Any,
    ) -> Any:
        """A page of its own at an address.

        Args:
            before: What is done with the page before it goes there, such as `page.route(...)`.
            options: As for a context of playwright, `color_scheme="dark"`.
        """
        context = self._chromium.new_context(viewport=size, **options)
        self._contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        self._watch(page, urlsplit(address).netloc)
        before(page)
        page.goto(address)
        return page

    def _watch(self, page: Any, host: str) -> None:
        def asked(request: Any) -> None:
            address = urlsplit(request.url)
            if address.scheme not in ("data", "blob") and address.netloc != host:
                self.problems.append(f"another host was asked: {request.url}")

        def said(message: Any) -> None:
            if message.type in ("error", "warning") and not _repeats_a_status(message.text):
                self.problems.append(f"{message.type} in the console: {message.text}")

        def answered(response: Any) -> None:
            if response.status >= 400:
                self.problems.append(f"answered {response.status} : {response.request.method} {response.url}")

        def failed(request: Any) -> None:
            if request.failure != "net::ERR_ABORTED":  # by the page itself, when a newer request overtakes it
                self.problems.append(f"failed, {request.failure}: {request.url}")

        page.on("request", asked)
        page.on("console", said)
        page.on("response", answered)
        page.on("requestfailed", failed)
        page.on("pageerror", lambda error: self.problems.append(f"error in the page: {error}"))

    def close(self) -> None:
        """Close every page; nothing that was not allowed may have gone wrong.

        Raises:
            AssertionError: Something did; all of it is named.
        """
        for context in self._contexts:
            context.close()
        self._contexts.clear()
        wrong = [problem for problem in self.problems if not any(part in problem for part in self._allowed)]
        assert not wrong, "\n".join(wrong)


def _repeats_a_status(text: str) -> bool:
    """Whether the console only says what the response has said: it names the address nowhere in its text."""
    return text.startswith("Failed to load resource: the server responded with a status of")


@contextmanager
def chromium() -> Iterator[Any]:
    """A running Chromium. Not for a whole session: while it runs, playwright holds the event loop of this thread.

    Skips where there is none.
    """
    if PROGRAM is None:
        pytest.skip("needs Chromium, as Debian's package `chromium` brings it")
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright, as `imrec[dev]` brings it")
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=PROGRAM, args=list(_ARGUMENTS))
        try:
            yield running
        finally:
            running.close()


def accessibility_faults(page: Any, within: str | None = None) -> list[str]:
    """What axe-core calls serious or critical in what the page shows now, or in one element of it."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, context=within)
    return [
        f"{fault['id']}: {fault['help']}: {[node['html'][:160] for node in fault['nodes']][:3]}"
        for fault in found.response["violations"]
        if fault["impact"] in _SERIOUS
    ]


def has_sideways_scroll(page: Any) -> bool:
    """Whether the page is wider than its window."""
    return bool(page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))


def until(page: Any, claim: str, seconds: float = 10.0) -> None:
    """Wait until an expression of JavaScript is true; playwright's own way needs `eval`, which the page forbids.

    Raises:
        AssertionError: It never was.
    """
    last = time.monotonic() + seconds
    while not page.evaluate(claim):
        assert time.monotonic() < last, f"never true: {claim}"
        page.wait_for_timeout(20)


def first_paint(page: Any) -> float:
    """Seconds from the request of the page to the first thing that it showed."""
    paint = "performance.getEntriesByName('first-contentful-paint')[0]"
    until(page, f"Boolean({paint})")
    return float(page.evaluate(f"{paint}.startTime")) / 1000


def screenshot(page: Any, path: Path, *, colours: int = 0) -> None:
    """What the page shows, as a PNG; with `colours` in a palette of so many, which makes a third of the bytes."""
    page.screenshot(path=path)
    if colours:
        from PIL import Image

        picture = Image.open(path).convert("RGB")
        picture.quantize(colours, kmeans=3, dither=Image.Dither.NONE).save(path, optimize=True)
