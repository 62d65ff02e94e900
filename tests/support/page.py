"""Actions on the page and readings from it, for tests in Chromium: grid, tray, map."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np

from imrec_core.maps.map_table import Cluster
from tests.support.browser import until

# -- search -------------------------------------------------------------------------------------------------


def names(page: Any, count: int = 30) -> list[str]:
    """List the names of the first images in the grid, in order; more may still be loading."""
    return page.eval_on_selector_all("a.tile", "tiles => tiles.map((tile) => tile.title)")[:count]


def every_name(page: Any) -> list[str]:
    """List the names of all hits in order, by scrolling through them; the grid has only those near the view."""
    return _every(page, "tile.title")


def every_id(page: Any) -> list[str]:
    """List the ids of all hits in order, as `every_name`."""
    return _every(page, "tile.dataset.id")


def _every(page: Any, value: str) -> list[str]:
    page.evaluate("scrollTo(0, 0)")
    found: dict[int, str] = {}
    get = f"tiles => tiles.map((tile) => [Number(tile.parentElement.ariaPosInSet), {value}])"
    while True:
        page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        until(page, "!document.querySelector('.grid .waiting')")
        found |= dict(page.eval_on_selector_all("a.tile", get))
        if page.evaluate("scrollY + innerHeight + 2 >= document.documentElement.scrollHeight"):
            return [found[place] for place in sorted(found)]
        page.evaluate("scrollBy(0, innerHeight)")


def run_search(page: Any, act: Callable[[], object]) -> list[str]:
    """Call `act`, wait for the response to its search, and return the names in the grid."""

    def is_first(response: Any) -> bool:  # excludes further hits, loaded while scrolling
        sent = response.request.post_data_buffer  # None for uploads
        return response.url.endswith("/api/search") and (sent is None or b'"offset":0' in sent)

    with page.expect_response(is_first):
        act()
    page.wait_for_selector(".results:not([aria-busy])")
    return names(page)


def upload(page: Any, *files: Path) -> list[str]:
    return run_search(page, lambda: page.set_input_files("#chooser", files))


def adjust(page: Any) -> None:
    """Show the weights, which are behind "Adjust"."""
    if not page.is_visible("#mix"):
        page.click("summary:text-is('Adjust')")


def show_options(page: Any) -> None:
    """Show filter and options, which are behind a line in a narrow window."""
    line = page.locator("summary:has-text('Filter and options')")
    if line.is_visible() and not line.evaluate("line => line.parentElement.open"):
        line.press("Enter")


def show_sql(page: Any) -> None:
    """Show the box of the filter, which is behind "Write SQL"."""
    show_options(page)
    if not page.is_visible("#where"):
        page.click("summary:has-text('Write SQL')")


def write_sql(page: Any, where: str) -> None:
    """Write SQL into the box of the filter."""
    show_sql(page)
    page.fill("#where", where)


def tray(page: Any, side: str) -> list[str]:
    return page.locator(f"#tray-{side} .name").all_inner_texts()


def address_params(page: Any) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def shown_ids(page: Any, selector: str) -> list[str]:
    """List the ids of the images whose thumbnails a selector matches, such as `a.tile img`, in order."""
    sources = page.eval_on_selector_all(selector, "all => all.map((one) => one.getAttribute('src'))")
    return [re.search(r"/thumb/(\w+)", source)[1] for source in sources]  # type: ignore[index]


# -- the map ------------------------------------------------------------------------------------------------


def at_rest(page: Any) -> None:
    """Wait until the map has come to rest and shows its thumbnails."""
    page.wait_for_selector("#map-stage[data-state=rest]")


def thumbnails(page: Any) -> list[tuple[str, float, float]]:
    """List image id and centre of every thumbnail on the map, in window coordinates."""
    return page.eval_on_selector_all(
        ".pinned",
        """all => all.map((one) => {
            const box = one.getBoundingClientRect();
            const image = one.querySelector("img").getAttribute("src").slice(7, 23);
            return [image, box.x + box.width / 2, box.y + box.height / 2];
        })""",
    )


def cluster_middles(page: Any) -> dict[int, list[float]]:
    """Return where the lines from the bubbles to the clusters end, in window coordinates, by number of the cluster."""
    found = page.eval_on_selector_all(
        ".leads line",
        """all => all.map((line) => {
            const stage = document.querySelector("#map-stage").getBoundingClientRect();
            const [x, y] = ["x2", "y2"].map((name) => Number(line.getAttribute(name)));
            return [Number(line.dataset.cluster), stage.x + x, stage.y + y];
        })""",
    )
    return {int(cluster): middle for cluster, *middle in found}


def to_window(page: Any, clusters: Iterable[Cluster], xy: np.ndarray) -> np.ndarray:
    """Convert map positions `(n, 2)` to window coordinates, by the bubbles of the clusters."""
    known = {cluster.cluster: (cluster.x, cluster.y) for cluster in clusters}
    shown = [(*known[cluster], *middle) for cluster, middle in cluster_middles(page).items()]
    assert len(shown) > 1, "the whole map must be visible, with bubbles of its clusters"
    plane, window = np.array(shown)[:, :2], np.array(shown)[:, 2:] * [1, -1]  # y upwards, as on the map
    apart = plane - plane.mean(axis=0)
    scale = (apart * (window - window.mean(axis=0))).sum() / (apart**2).sum()
    return (window.mean(axis=0) + (xy - plane.mean(axis=0)) * scale) * [1, -1]


def draw_line(page: Any, corners: np.ndarray) -> None:
    """Drag the mouse around a polygon of window coordinates `(n, 2)`."""
    page.mouse.move(*corners[0])
    page.mouse.down()
    for corner in [*corners[1:], corners[0]]:
        page.mouse.move(*corner, steps=6)
    page.mouse.up()
    page.wait_for_selector("#chosen")


def selected_count(page: Any) -> int:
    return int(re.sub(r"\D", "", page.inner_text("#chosen")))


def liked_ids(page: Any) -> list[str]:
    """List the ids of the positive examples in the address."""
    return [entry.removeprefix("image:") for entry in address_params(page).get("like", [])]
