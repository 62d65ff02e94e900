"""The map of the page in Chromium without a graphics card: how long it takes to open, and to follow the hand."""

import base64
import json
from time import perf_counter
from typing import Any

import numpy as np

from imrec_core import Lake
from imrec_core.index.opening import open_generation
from tests.benchmarks.rows import Row
from tests.benchmarks.testbed import Testbed
from tests.support.browser import Browser, chromium
from tests.support.serving import serving, web_lake

_COUNTS = 100_000, 500_000
_CLUSTERS = 120
_SETTLE, _FRAMES = 40, 80  # until the share of points that is drawn has settled; that are timed
_PAN = """async ([skipped, timed]) => {
    const stage = document.getElementById("map-stage"), frames = [];
    let before = 0;
    for (let i = 0; i < skipped + timed; i++) {
        const now = await new Promise(requestAnimationFrame);
        if (i >= skipped) frames.push((now - before) / 1000);
        before = now;
        const key = i % 16 < 8 ? "ArrowRight" : "ArrowLeft";
        stage.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
    }
    if (stage.dataset.state === "rest") throw new Error("the map does not move");
    return frames;
}"""


def measure(work: Testbed) -> list[Row]:
    """Of drawn points in clusters; a frame is what lies between two calls of `requestAnimationFrame`, on average."""
    found = []
    with serving(web_lake(work.folder / "map_page")) as served, chromium() as running:
        for count in _COUNTS:
            answer = _points(served.lake, count)
            browser = Browser(running)
            page = browser.open(served.url)
            opened = _open(page, answer)
            frames = np.array(page.evaluate(_PAN, [_SETTLE, _FRAMES]))
            browser.close()
            words = "in software (SwiftShader); thinned to what it keeps up with while the map moves"
            limit = 0.1 if count == _COUNTS[0] else None
            found += [
                Row(
                    f"open a map of {count:,}", opened, "s", "from a click to points at rest, with pictures of clusters"
                ),
                Row(f"frame while panning {count:,}", float(frames.mean()), "s", words, at_most=limit),
                Row("slowest of ten", float(np.quantile(frames, 0.9)), "s", f"of {_FRAMES} frames"),
            ]
    return found


def _open(page: Any, answer: dict[str, Any]) -> float:
    """Seconds until the map stands still."""
    listed = {name: answer[name] for name in ("name", "feature", "method", "generation")}
    listed |= {"rows": answer["count"], "clusters": _CLUSTERS, "is_current": True}
    body = json.dumps(answer)
    page.route("**/api/map", lambda route: route.fulfill(json={"maps": [listed], "colours": ["cluster"]}))
    page.route(
        "**/api/map/*", lambda route: route.fulfill(status=200, headers={"Content-Type": "application/json"}, body=body)
    )
    started = perf_counter()
    page.click("#views >> text=Map")
    page.wait_for_selector("#map-stage[data-state=rest]", timeout=60_000)
    return perf_counter() - started


def _points(lake: Lake, count: int) -> dict[str, Any]:
    """What a server says of a map: round clusters of many sizes, a tenth of the points in none."""
    ids = np.array([int(one, 16) for one in open_generation(lake).columns("image_id")["image_id"].to_pylist()], "<u8")
    rng = np.random.default_rng(0)
    middles, sizes = rng.normal(0, 9, (_CLUSTERS, 2)), rng.dirichlet(np.ones(_CLUSTERS))
    cluster = rng.choice(_CLUSTERS, count, p=sizes)
    xy = middles[cluster] + rng.normal(0, 1, (count, 2)) * rng.uniform(0.3, 1.4, _CLUSTERS)[cluster, None]
    cluster[rng.random(count) < 0.1] = -1
    arrays = {"x": xy[:, 0], "y": xy[:, 1], "cluster": cluster, "ids": rng.choice(ids, count)}
    kinds = {"x": "<f4", "y": "<f4", "cluster": "<i4", "ids": "<u8"}
    packed = {name: base64.b64encode(values.astype(kinds[name]).tobytes()).decode() for name, values in arrays.items()}
    found = [
        {"cluster": c, "size": int((cluster == c).sum()), "x": x, "y": y, "image_id": f"{ids[c % len(ids)]:016x}"}
        for c, (x, y) in enumerate(middles.tolist())
    ]
    facts = {"name": "drawn", "feature": "drawn", "method": "umap", "generation": "000001", "count": count}
    return {**facts, **packed, "clusters": found}
