"""The files of a run over a lake of some size, and the figures that its steps return."""

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from imrec_core.lake.lake import Lake
from tests.benchmarks.many_images import Photos, image_bytes, make_images
from tests.benchmarks.watched import Watched, watch

ADDED = 1000
QUERIES = 100
_FAR = 10_000_000  # from here on numbers are of images that are in no lake


@dataclass(frozen=True)
class Figure:
    """Time, memory and results of one verb.

    Attributes:
        name: Of the verb and its options; unique among the figures of a size.
        seconds: By the clock; of one search where many were asked.
        core_seconds: CPU seconds of all its processes; None where they were not counted.
        peak: Bytes at most, beside mapped files; None where another figure has them.
        results: Counts and shares by name.
        note: Why the figure cannot be compared, such as `failed: …`; empty if it can.
        seconds_at_most, peak_at_most: Targets.
    """

    name: str
    seconds: float
    core_seconds: float | None = None
    peak: int | None = None
    results: dict[str, float] = field(default_factory=dict)
    note: str = ""
    seconds_at_most: float | None = None
    peak_at_most: int | None = None


@dataclass(frozen=True)
class Work:
    """The files of a run.

    Attributes:
        folder: Holds all of them; a run that was stopped goes on there.
        photos: Folder of photos from which images are made.
        images: How many.
        subfolders: Into which the images go.
        limit: Seconds after which a command is stopped.
    """

    folder: Path
    photos: Path
    images: int
    subfolders: int
    limit: float

    @property
    def source(self) -> Path:
        return self.folder / "images"

    @property
    def added(self) -> Path:
        """Where the images lie that are added to the lake."""
        return self.source / "added"

    @property
    def lake(self) -> Lake:
        return Lake(self.folder / "lake")

    @property
    def scratch(self) -> Path:
        path = self.folder / "scratch"
        path.mkdir(exist_ok=True)
        return path

    @cached_property
    def decoded(self) -> Photos:
        return Photos.of_folder(self.photos, self.folder / "photos.bin")

    @cached_property
    def env(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("IMREC_", "DAGSTER_"))}
        return {**kept, "IMREC_LAKE": str(self.lake.root), "DAGSTER_DISABLE_TELEMETRY": "yes"}

    @cached_property
    def image_id(self) -> str:
        """An image of the lake, as a query."""
        sql = "SELECT image_id FROM rows ORDER BY image_id LIMIT 1"
        return self.imrec("sql", sql, "--csv").output.split()[-1]

    @cached_property
    def query(self) -> Path:
        """An image that is not in the lake."""
        return self.queries / f"{_FAR:09d}.jpg"

    @cached_property
    def queries(self) -> Path:
        """Some images that are not in the lake."""
        folder = self.folder / "queries"
        folder.mkdir(exist_ok=True)
        for number in range(_FAR, _FAR + QUERIES):
            path = folder / f"{number:09d}.jpg"
            if not path.exists():
                path.write_bytes(image_bytes(self.decoded, number))
        return folder

    def new_images(self, folder: Path) -> Path:
        """Write the images that follow those of the lake into a folder."""
        make_images(self.decoded, folder, range(self.images, self.images + ADDED), self.subfolders)
        return folder

    def remove_added(self) -> None:
        shutil.rmtree(self.added, ignore_errors=True)

    def imrec(self, *arguments: str | Path, lake: Path | None = None) -> Watched:
        """Run the command on the lake, or on another, as a user does."""
        env = self.env if lake is None else {**self.env, "IMREC_LAKE": str(lake)}
        command = [sys.executable, "-m", "imrec_dagster.cli", *map(str, arguments)]
        return watch(command, env, limit=self.limit)

    def figure(
        self,
        name: str,
        done: Watched,
        results: dict[str, float] | None = None,
        *,
        codes: Sequence[int] = (0,),
        **more: object,
    ) -> Figure:
        """Return the figure of a command; without its results if it failed or was stopped."""
        note = ""
        if done.is_cut:
            note = f"failed: stopped after {self.limit:.0f} s"
        elif done.code not in codes:
            note = f"failed: {(done.errors.strip().splitlines() or [f'exit status {done.code}'])[-1][:200]}"
        found = {} if note else results or {}
        return Figure(name, done.seconds, done.core_seconds, done.peak, found, note, **more)
