"""Screenshots of the page for the docs, taken in Chromium over the demo photos: `make gallery`.

Each opens an address of the page and makes a few inputs. The lake is that of the examples of
docs/getting-started.md.
"""

import os
import sys
from collections.abc import Callable
from math import cos, pi, sin
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from docs.gallery import PROGRAM, ROOT, run
from imrec_core.catalog.ids import image_id
from imrec_core.lake.lake import Lake
from tests.support.browser import PHONE, Browser, chromium, screenshot, until
from tests.support.page import at_rest, draw_line
from tests.support.serving import serving

FOLDER = ROOT / "docs/page"
_WINDOW = {"width": 1100, "height": 700}
_ORIGINALS = "NOT contains(path, '__')"
_FEATURES = "efficientnet_lite0,hsv_histogram,phash,sift_vlad,pdq"
_COLOURS = 128  # size of the palette of a screenshot


def search(browser: Browser, url: str, photos: Path) -> Any:
    """Search by an uploaded image, another like and an unlike, by two features, among the originals."""
    liked, unliked = image_id("demo", "coffee.jpg"), image_id("demo", "retina.jpg")
    by = "by=efficientnet_lite0=0.6&by=hsv_histogram=1"
    page = browser.open(f"{url}/?like=image:{liked}&unlike=0.5*image:{unliked}&{by}&where={_ORIGINALS}", size=_WINDOW)
    page.wait_for_selector(".caption .score")
    page.set_input_files("#chooser", photos / "flower.jpg")
    until(page, "location.search.includes('upload:')")
    page.reload()  # the first search of a server waits for the network
    page.wait_for_selector(".caption .score")
    return page


def detail(browser: Browser, url: str, photos: Path) -> Any:
    """Show the origin of a crop, and the explanation of the hit."""
    page = browser.open(f"{url}/?by=mix:default&where={_ORIGINALS}", size=_WINDOW)
    page.wait_for_selector("a.tile")
    page.set_input_files("#chooser", photos / "chelsea__crop.jpg")
    page.wait_for_selector(".caption .score")
    page.locator("a.tile").first.click()
    page.wait_for_selector("dialog .lines")
    return page


def phone(browser: Browser, url: str, photos: Path) -> Any:
    """Search by the colours of a flower, on a phone, with the dark theme."""
    address = f"{url}/?like=image:{image_id('demo', 'flower.jpg')}&by=hsv_histogram&where={_ORIGINALS}"
    page = browser.open(address, size=PHONE, color_scheme="dark", device_scale_factor=1.5, is_mobile=True)
    page.wait_for_selector(".caption .score")
    return page


def layout(browser: Browser, url: str, photos: Path) -> Any:
    """Show the map with the dark theme, and a lasso around some points."""
    page = browser.open(f"{url}/map", size=_WINDOW, color_scheme="dark")
    at_rest(page)
    boxes = [node.bounding_box() for node in page.locator(".pinned").all()]
    middles = [(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2) for box in boxes if box]
    x, y = min(middles, key=lambda at: at[0] + at[1])  # the upper left
    page.click("#lasso")
    draw_line(page, np.array([(x + 95 * cos(a / 8 * pi), y + 75 * sin(a / 8 * pi)) for a in range(16)]))
    until(page, "[...document.querySelectorAll('.strip img')].slice(0, 20).every((one) => one.naturalWidth)", 60)
    page.mouse.move(0, 0)
    return page


def duplicates(browser: Browser, url: str, photos: Path) -> Any:
    """Show duplicates side by side."""
    page = browser.open(f"{url}/duplicates", size=_WINDOW)
    page.wait_for_selector(".group", timeout=300_000)  # of a busy machine
    return page


def status(browser: Browser, url: str, photos: Path) -> Any:
    """Show the status of the lake, with the broken files of the demo."""
    page = browser.open(f"{url}/status", size=_WINDOW)
    page.wait_for_selector("#runs")
    return page


SCREENSHOTS: dict[str, Callable[[Browser, str, Path], Any]] = {
    "search": search,
    "detail": detail,
    "phone": phone,
    "map": layout,
    "duplicates": duplicates,
    "status": status,
}


def main(built: Path | None = None) -> None:
    """Build the demo's lake, unless a folder with it is given, and take every screenshot."""
    with TemporaryDirectory() as work, chromium() as running:
        folder = built or Path(work)
        if not built:
            run([PROGRAM, "demo"], folder, dict(os.environ))
            build = [PROGRAM, "build", "--lake", "data_lake/demo", "--features", _FEATURES]
            run(build, folder, dict(os.environ))
            run([PROGRAM, "map", "--lake", "data_lake/demo"], folder, dict(os.environ))
        with serving(Lake(folder / "data_lake/demo")) as served:
            FOLDER.mkdir(exist_ok=True)
            for name, take in SCREENSHOTS.items():
                browser = Browser(running)
                page = take(browser, served.url, folder / "demo_photos")
                page.wait_for_load_state("networkidle")
                page.evaluate("document.activeElement.blur()")
                path = FOLDER / f"{name}.png"
                screenshot(page, path, colours=_COLOURS)
                browser.close()
                print(f"{path.relative_to(ROOT)}  {path.stat().st_size // 1000} KB")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
