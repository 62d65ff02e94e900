"""Curating a large lake: seconds of each command, recall of the neighbours, and the radius of a diverse sample."""

from collections.abc import Callable
from time import perf_counter
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from imrec_core.curation import neighbours
from imrec_core.curation.issues import find_issues
from imrec_core.curation.label_issues import find_label_issues
from imrec_core.curation.neighbours import Embedding, open_embedding
from imrec_core.curation.outliers import NEIGHBOURS, find_outliers
from imrec_core.curation.sample import draw_sample
from imrec_core.curation.tags import tag_images
from imrec_core.evaluation.labels import Labels
from imrec_core.index.build import build_generation
from imrec_core.index.opening import open_generation
from imrec_core.lake import schemas
from imrec_core.lake.lake import Lake
from imrec_core.sql.policy import SqlPolicy
from tests.benchmarks.large import SHARD_SIZE
from tests.benchmarks.rows import Row, cores
from tests.benchmarks.testbed import Testbed
from tests.support import toy

T = TypeVar("T")

_FEATURE = "efficientnet_lite0"
_STRAY, _BLOCK = 0.35, 10_000  # of the difference of two photos; vectors that are made at a time
_SECONDS = 60  # what was promised of 100,000 rows: seconds, not minutes
_SAMPLE, _JUDGED, _KINDS = 100, 300, 50


def measure(work: Testbed) -> list[Row]:
    """Each command on one lake, in its order of use; the first opens the generation."""
    lake = toy.vector_lake(work.folder / "lake-curate", {_FEATURE: _vectors(work)}, shard_size=SHARD_SIZE)
    _write_properties(lake)
    build_generation(lake)
    generation = open_generation(lake)
    kinds = np.random.default_rng(1).integers(0, _KINDS, len(generation))
    labels = Labels(kinds, np.arange(len(generation)), names=tuple(map(str, range(_KINDS))))
    rows = [Row("rows", len(generation), "", f"{open_embedding(generation).feature.name}; {cores()} cores")]
    quick, seconds = _timed(lambda: find_issues(lake, outliers=False))
    rows.append(_row("issues without outliers", seconds, f"{sum(quick.counts.values()):,} found"))
    rows.append(_row("issues", _timed(lambda: find_issues(lake))[1], "with outliers"))
    rows.append(_row("issues again", _timed(lambda: find_issues(lake))[1], "as stored"))
    rows.append(_row("outliers", _timed(lambda: find_outliers(lake))[1], ""))
    rows.append(_row("label-issues", _timed(lambda: find_label_issues(lake, generation, labels))[1], ""))
    drawn, seconds = _timed(lambda: draw_sample(lake, _SAMPLE, diverse=True))
    rows.append(_row(f"sample {_SAMPLE} --diverse", seconds, f"radius {drawn.radius:.3f}"))
    rows.append(_row("tag a third of the rows", _timed(lambda: tag_images(lake, "a", where="row % 3 = 0"))[1], ""))
    where = lambda: generation.filter.rows("'a' IN tags", SqlPolicy.TRUSTED)  # noqa: E731
    rows.append(_row("filter by a new tag", _timed(where)[1], "opens the filter"))
    rows.append(_row("filter by a known tag", _timed(where)[1], ""))
    return [*rows, Row("recall of the neighbours", _recall(open_embedding(generation)), f"@{NEIGHBOURS}")]


def _vectors(work: Testbed) -> NDArray[np.float16]:
    """Full vectors of photos, each moved a little as photos differ from one another."""
    lake, rng = work.built_lake("photos", work.photos), np.random.default_rng(0)
    tables = [lake.read_table(lake.feature_path(_FEATURE, shard), ["vector"]) for shard in lake.live_shards()]
    stored = np.concatenate([schemas.to_matrix(table["vector"]) for table in tables]).astype(np.float32)
    found = np.empty((work.rows, stored.shape[1]), np.float16)
    for first in range(0, work.rows, _BLOCK):
        block = found[first : first + _BLOCK]
        origin, a, b = stored[rng.integers(0, len(stored), (3, len(block)))]
        moved = np.clip(origin + _STRAY * (a - b), 0, None)
        block[:] = moved / np.linalg.norm(moved, axis=1, keepdims=True)
    return found


def _write_properties(lake: Lake) -> None:
    """Give the images random properties and contents."""
    rng = np.random.default_rng(0)
    for shard in lake.shards():
        path = lake.images_path(shard)
        table, made_from = lake.read_table(path), lake.made_from(path) or {}
        count = len(table)
        columns: dict[str, Any] = {
            "width": rng.integers(400, 4000, count),
            "height": rng.integers(400, 4000, count),
            "brightness": rng.beta(4, 4, count),
            "contrast": rng.uniform(0.005, 0.35, count),
            "entropy": 8 * rng.beta(8, 2, count),
            "sharpness": rng.lognormal(6, 1, count),
            "is_grey": rng.random(count) < 0.05,
        }
        for name, values in columns.items():
            place, kind = table.schema.get_field_index(name), schemas.IMAGES.field(name).type
            table = table.set_column(place, name, pa.array(values).cast(kind))
        lake.write_table(path, table, made_from)


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    started = perf_counter()
    return work(), perf_counter() - started


def _row(name: str, seconds: float, note: str) -> Row:
    return Row(name, seconds, "s", note, at_most=_SECONDS)


def _recall(embedding: Embedding) -> float:
    """Share of the nearest by exact search that the graph finds, of some rows."""
    batch = embedding.rows[:: max(len(embedding.rows) // _JUDGED, 1)]
    exact = neighbours.nearest(embedding.points(batch), embedding.points(embedding.rows), NEIGHBOURS + 1)
    found = embedding.generation.graph_nearest_each(embedding.graph or "", batch, NEIGHBOURS + 1)
    assert found is not None, "the lake is too small for a graph"
    shared = [np.isin(embedding.rows[truth], near).mean() for truth, near in zip(exact, found, strict=True)]
    return float(np.mean(shared))
