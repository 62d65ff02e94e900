"""A process that searches while another publishes: every answer is of one generation, and nothing of old ones stays."""

from __future__ import annotations

import json
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from typing import Any

import numpy as np
import pytest

import imrec_core
from imrec_core import ImageId, Lake, Recommender
from imrec_core.catalog import ids
from imrec_core.index import build, hnsw
from imrec_core.index.build import build_generation
from imrec_core.search.hits import Hits
from tests.support import toy

ROOT = Path(imrec_core.__file__).parent.parent

PUBLISHED, MARKERS, OTHERS = 20, 20, 2000
PER_SECOND = 50
ANCHOR = "anchor.jpg"
ANCHOR_HASH = np.uint64(0x5A5A_5A5A_5A5A_5A5A)  # a hash of zeros would be that of an image without contrast
BY = ["rgb_histogram", "phash"]
MOST_GROWN = 40_000_000  # bytes; matrix and graph of one generation take 9 MB
WAIT = 60  # seconds

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")


def gallery(number: int) -> tuple[list[str], dict[str, np.ndarray]]:
    """What generation `number` is made of: the anchor, images far from it, and markers.

    A marker tells its generation three times: by its name, by the bits in which its hash differs from the anchor's, and
    by how far its histogram is.
    """
    rng = np.random.default_rng(0)
    anchor, *others = rng.dirichlet(np.full(512, 0.02), 1 + OTHERS)
    far = rng.integers(0, 2**20, OTHERS, np.uint64) | np.uint64(2**64 - 2**24)  # 40 bits and more
    names = [ANCHOR, *(f"other_{i:04d}.jpg" for i in range(OTHERS)), *(f"{number}_{i}.jpg" for i in range(MARKERS))]
    histograms = np.stack([anchor, *others, *(histogram(anchor, number) for _ in range(MARKERS))])
    differences = np.array([0, *far, *([2**number - 1] * MARKERS)], np.uint64)
    return names, {"rgb_histogram": histograms, "phash": (ANCHOR_HASH ^ differences)[:, None]}


def histogram(anchor: np.ndarray, number: int) -> np.ndarray:
    """As far from the anchor as the number is large: something of it goes to where the anchor has least."""
    moved = anchor * (1 - number / 100)
    moved[np.argmin(anchor)] += number / 100
    return moved


def distance(number: int) -> float:
    """Of the histogram of a marker from that of the anchor (Hellinger)."""
    anchor = gallery(number)[1]["rgb_histogram"][0]
    return float(np.sqrt(1 - np.sqrt(anchor) @ np.sqrt(histogram(anchor, number))))


def publish(root: Path, number: int) -> Lake:
    names, vectors = gallery(number)
    lake = toy.vector_lake(root, vectors, shard_size=500, names=names)
    report = build_generation(lake)
    assert report.id == f"{number:06d}"
    return lake


# -- the reader ---------------------------------------------------------------------------------------------


def read(root: str) -> None:
    """Search until the input ends; say what was wrong with an answer, and of each generation how much is held."""
    recommender, query = Recommender.open(root), ImageId(ids.image_id("photos", ANCHOR))
    expected = [distance(number) for number in range(1, PUBLISHED + 2)]
    searched = of_this = 0
    generation, started = "", time.monotonic()
    while not select.select([sys.stdin], [], [], 0)[0]:
        hits = recommender.search(query, by=BY, k=MARKERS, where="row >= 0" if searched % 5 == 4 else None)
        searched += 1
        if problem := wrong(hits, expected):
            print(json.dumps({"wrong": problem}), flush=True)
        generation, of_this = hits.generation, of_this + 1 if hits.generation == generation else 1
        if of_this == 5:
            print(json.dumps({"generation": generation, "held": held()}), flush=True)
        time.sleep(max(0, started + searched / PER_SECOND - time.monotonic()))
    print(json.dumps({"searched": searched, "seconds": time.monotonic() - started}), flush=True)


def wrong(hits: Hits, expected: list[float]) -> str:
    """What is not of the generation that the answer names; a graph may miss one or another marker."""
    number = int(hits.generation)
    markers = [hit for hit in hits if not Path(hit.path).name.startswith("other")]
    if len(markers) < 0.8 * MARKERS or len(hits) != MARKERS:
        return f"{len(markers)} markers among {len(hits)} hits of {hits.generation}: {hits.plan}"
    for hit in markers:
        told = Path(hit.path).name.partition("_")[0], hit.parts["phash"].distance
        if told != (str(number), number):
            return f"{hit.path} with distances {hit.parts} in an answer of {hits.generation}"
        if abs(hit.parts["rgb_histogram"].distance - expected[number - 1]) > 1e-3:
            return f"{hit.parts} in an answer of {hits.generation}; expected is {expected[number - 1]}"
    return ""


def held() -> int:
    """Bytes of memory of this process."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS:"))


class Reader:
    """The process that reads, and what it has said."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._lines: Queue[str] = Queue()
        self.held: dict[str, int] = {}
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def _said(self) -> dict[str, Any]:
        line = self._lines.get(timeout=WAIT)
        assert line, f"the reader ended after {self.held}"
        said: dict[str, Any] = json.loads(line)
        assert "wrong" not in said, said["wrong"]
        return said

    def has_seen(self, generation: str) -> None:
        """Wait until it answers by that generation."""
        while generation not in self.held:
            said = self._said()
            self.held[said["generation"]] = said["held"]

    def end(self) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.close()
        while "searched" not in (said := self._said()):
            pass
        assert self._process.wait(WAIT) == 0
        return said


@contextmanager
def reading(lake: Lake) -> Iterator[Reader]:
    """A process that searches; it does not outlive the block."""
    command = [sys.executable, "-m", "tests.end_to_end.test_readers", str(lake.root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            yield Reader(process)
        finally:
            process.kill()


@pytest.mark.slow
@pytest.mark.parametrize(("how", "whys"), [("extended", {"extends"}), ("often built whole", {"extends", "built"})])
def test_reader_is_never_disturbed_while_generations_are_published(tmp_path, monkeypatch, how, whys):
    monkeypatch.setattr(hnsw, "_LARGE", 0)
    if how != "extended":
        monkeypatch.setattr(build, "_MAX_REMOVED", 0.02)
    root = tmp_path / "lake"
    lake = publish(root, 1)
    why = set()
    with reading(lake) as reader:
        reader.has_seen("000001")
        for number in range(2, PUBLISHED + 1):
            publish(root, number)
            if number % 3 == 0 or number == PUBLISHED:  # the others follow one another sooner than it looks
                reader.has_seen(f"{number:06d}")
            why.add(Recommender.open(lake).generation.facts["why"].split()[0])
        said = reader.end()
    assert why == whys
    assert said["searched"] / said["seconds"] > PER_SECOND / 2
    assert reader.held[f"{PUBLISHED:06d}"] - reader.held["000003"] <= MOST_GROWN, reader.held
    publish(root, PUBLISHED + 1)
    assert lake.generations() == [f"{PUBLISHED:06d}", f"{PUBLISHED + 1:06d}"]
    assert {path.name for path in (root / "generations").iterdir()} == {*lake.generations(), "CURRENT"}


if __name__ == "__main__":
    read(sys.argv[1])
