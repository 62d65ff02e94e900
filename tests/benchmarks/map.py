"""Maps: time and memory of a large one, and how well neighbours are kept, beside plain UMAP of the whole vectors."""

import shutil
from dataclasses import asdict
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.explore import SAMPLE, make_map, open_map
from imrec_core.generation import Generation, open_generation
from imrec_core.index import build_generation
from imrec_core.judging import folder_labels
from imrec_core.lake import Lake
from imrec_core.reduction.neighbours import nearest, share_kept
from tests import toy
from tests.benchmarks.alone import Alone, alone
from tests.benchmarks.large import SHARD_SIZE, moved
from tests.benchmarks.rows import Row, cores
from tests.benchmarks.testbed import Testbed

_FEATURE = "efficientnet_lite0"
_FEW, _NEAREST, _JUDGED = 5_000, 10, 1_000
_SECONDS, _GIGABYTES = 300, 4  # what was promised of 100,000 rows


def measure(work: Testbed) -> list[Row]:
    """Each map in a process of its own, so that compiling UMAP counts; memory with what is mapped."""
    photos = work.built_lake("lake-map-photos", work.photos)
    rows = [Row("rows", work.rows, "", f"of 1,280 numbers; {cores()} cores")]
    for method in ("umap", "tsne"):
        rows += _photos(photos, method)
    many = _lake(work, "lake-map-many", photos, work.rows)
    rows += _large(many, "umap", work.rows)
    rows += _large(many, "tsne", work.rows)
    shutil.rmtree(many.root)
    few = _lake(work, "lake-map-few", photos, _FEW)
    rows += _beside_plain(few)
    shutil.rmtree(few.root)
    return rows


def _lake(work: Testbed, name: str, photos: Lake, count: int) -> Lake:
    """Vectors of photos, each moved as photos differ from one another."""
    generation = open_generation(photos)
    origins = np.random.default_rng(0).integers(0, len(generation), (3, count))
    vectors = moved(generation, _FEATURE, *origins)
    lake = toy.vector_lake(work.folder / name, {_FEATURE: vectors}, shard_size=SHARD_SIZE)
    build_generation(lake)
    return lake


def _mapped(lake: Lake, method: str, sample: int) -> Alone:
    return alone(__name__, "mapped", str(lake.root), method, sample)


def mapped(root: str, method: str, sample: int) -> dict[str, Any]:
    """Make a map; its report."""
    return asdict(make_map(Lake(root), _FEATURE, method=method, sample=sample))


def _large(lake: Lake, method: str, count: int) -> list[Row]:
    done = _mapped(lake, method, SAMPLE)
    found, is_promised = done.result, method == "umap" and count == 100_000
    return [
        Row(
            f"{method}",
            done.seconds,
            "s",
            f"{found['fitted']:,} laid out, {found['clusters']} clusters; {done.core_seconds:.0f} s of a core",
            at_most=_SECONDS if is_promised else None,
        ),
        Row(
            "  held",
            done.peak / 1e9,
            "GB",
            "at most, imports and files among it",
            at_most=_GIGABYTES if is_promised else None,
        ),
        Row("  10 nearest kept", found["kept"]),
    ]


def _photos(lake: Lake, method: str) -> list[Row]:
    """How well clusters agree with the folders that the photos lie in."""
    from sklearn.metrics import adjusted_rand_score

    make_map(lake, _FEATURE, method=method, name="photos")
    made = open_map(lake, "photos")
    labels = folder_labels(open_generation(lake)).groups
    clusters = np.asarray(made.table["cluster"])
    agree = adjusted_rand_score(labels, clusters)
    note = f"adjusted Rand index of {len(made.clusters)} clusters, those in none as one, and {len(set(labels))} folders"
    return [Row(f"{method}: clusters of photos", agree, "", note), Row("  10 nearest kept", made.kept)]


# -- beside plain UMAP --------------------------------------------------------------------------------------


def _beside_plain(lake: Lake) -> list[Row]:
    generation = open_generation(lake)
    near = _true_nearest(generation)
    rows = []
    for name, sample in (("all laid out", _FEW), ("half laid out", _FEW // 2)):
        started = perf_counter()
        make_map(lake, _FEATURE, name="few", sample=sample)
        seconds = perf_counter() - started
        table = open_map(lake, "few").table
        positions = np.column_stack([table["x"], table["y"]])
        rows.append(_judged(f"{_FEW:,} rows, {name}", positions, near, generation, seconds))
    rows.append(_plain(near, generation))
    return rows


def _plain(near: NDArray[np.int64], generation: Generation) -> Row:
    import umap

    started = perf_counter()
    vectors = np.asarray(generation.matrix(_FEATURE), np.float32)
    positions = umap.UMAP(metric="cosine", random_state=0, n_jobs=1).fit_transform(vectors)
    return _judged(f"{_FEW:,} rows, plain UMAP", positions, near, generation, perf_counter() - started)


def _true_nearest(generation: Generation) -> NDArray[np.int64]:
    feature, matrix = generation.feature(_FEATURE), generation.matrix(_FEATURE)
    found = generation.scan(_FEATURE, feature.metric, matrix[:_JUDGED], _NEAREST + 1)
    return np.stack([row[row != i][:_NEAREST] for i, row in enumerate(found)])


def _judged(name: str, positions: NDArray[Any], near: NDArray[np.int64], generation: Generation, seconds: float) -> Row:
    from sklearn.manifold import trustworthiness

    own = np.arange(_JUDGED)
    kept = share_kept(near, nearest(positions[own], positions, _NEAREST, own=own))
    some = slice(0, 2 * _JUDGED)
    vectors = np.asarray(generation.matrix(_FEATURE)[some], np.float32)
    trust = trustworthiness(vectors, positions[some], n_neighbors=_NEAREST, metric="cosine")
    return Row(name, kept, "kept", f"of the 10 nearest; trustworthiness {trust:.3f}; {seconds:.0f} s")
