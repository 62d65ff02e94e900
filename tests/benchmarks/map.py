"""Maps: time and memory of a large one, and how well neighbours are kept, beside the plain libraries.

How many of the nearest a map keeps is a matter of the images, so it is told of three kinds: photos, parts of them, and
the vectors of no picture that the large one is made of.
"""

import shutil
import warnings
from dataclasses import asdict
from time import process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.evaluation.labels import folder_labels
from imrec_core.features import FEATURES
from imrec_core.features.reduction.neighbours import nearest, share_kept
from imrec_core.images.batch import ImageBatch
from imrec_core.images.decode import decode_file
from imrec_core.images.rgb import Pixels
from imrec_core.index.build import build_generation
from imrec_core.index.opening import open_generation
from imrec_core.lake.lake import Lake
from imrec_core.maps import METHODS, SAMPLE, build_map, load_map
from tests.benchmarks.alone import Alone, alone
from tests.benchmarks.large import SHARD_SIZE, WITH_FULL, moved
from tests.benchmarks.rows import Row, cores
from tests.benchmarks.testbed import Testbed
from tests.support import toy

_FEATURE = "efficientnet_lite0"
_NEAREST, _JUDGED = 10, 2_000
_PARTS, _LEAST = 5, 0.35  # of each photo; of its area
_BLOCK = 20_000  # vectors that are made at a time
_SECONDS, _GIGABYTES = 300, 4  # what was promised of 100,000 rows


def measure(work: Testbed) -> list[Row]:
    """Each large map in a process of its own, so that compiling UMAP counts; memory with what is mapped."""
    photos = work.built_lake("lake-map-photos", work.photos, WITH_FULL)
    rows = [Row("rows", work.rows, "", f"of 1,280 numbers; {cores()} cores")]
    for method in METHODS:
        rows.append(_clusters(photos, method))
    rows += _kept(photos, "photos")
    parts = _lake(work, "lake-map-parts", _parts(photos))
    rows += _kept(parts, f"parts, {_PARTS} of each photo")
    shutil.rmtree(parts.root)
    many = _lake(work, "lake-map-many", _moved(photos, work.rows))
    for method in METHODS:
        rows += _large(many, method, work.rows)
    shutil.rmtree(many.root)
    return rows


def _lake(work: Testbed, name: str, vectors: NDArray[Any]) -> Lake:
    lake = toy.vector_lake(work.folder / name, {_FEATURE: vectors}, shard_size=SHARD_SIZE)
    build_generation(lake)
    return lake


def _moved(photos: Lake, count: int) -> NDArray[Any]:
    """Vectors of photos, each moved as two photos differ.

    Those of one photo are a cloud without directions, of ninety vectors where there are 100,000 of 1,066 photos: no
    plane can show which of them are the nearest to which.
    """
    generation = open_generation(photos)
    drawn = np.random.default_rng(0).integers(0, len(generation), (3, count))
    blocks = np.array_split(drawn, -(-count // _BLOCK), axis=1)
    return np.concatenate([moved(generation, _FEATURE, *block).astype(np.float16) for block in blocks])


def _parts(photos: Lake) -> NDArray[Any]:
    """Vectors of parts of the photos, a third of each or more, half of them mirrored."""
    generation, rng = open_generation(photos), np.random.default_rng(0)
    root, feature = photos.settings().source("photos").root, FEATURES[_FEATURE]
    found = []
    for path in generation.columns("path")["path"].to_pylist():
        pixels = decode_file(root / path, min_side=feature.min_side).pixels[..., :3]
        found.append(feature(ImageBatch([_part(pixels, rng) for _ in range(_PARTS)])))
    return np.concatenate(found)


def _part(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    size = (np.sqrt(rng.uniform(_LEAST, 1, 2)) * pixels.shape[:2]).astype(int)
    top, left = rng.integers(0, np.array(pixels.shape[:2]) - size + 1)
    part = pixels[top : top + size[0], left : left + size[1]]
    return np.ascontiguousarray(part[:, ::-1] if rng.random() < 0.5 else part)


def _mapped(lake: Lake, method: str, sample: int) -> Alone:
    return alone(__name__, "mapped", str(lake.root), method, sample)


def mapped(root: str, method: str, sample: int) -> dict[str, Any]:
    """Make a map; its report."""
    return asdict(build_map(Lake(root), _FEATURE, method=method, sample=sample))


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
        Row("  10 nearest kept", found["kept"], "", "of vectors of no picture, which lie in clouds without directions"),
    ]


def _clusters(lake: Lake, method: str) -> Row:
    """How well clusters agree with the folders that the photos lie in."""
    from sklearn.metrics import adjusted_rand_score

    build_map(lake, _FEATURE, method=method, name="photos")
    made = load_map(lake, "photos")
    labels = folder_labels(open_generation(lake)).groups
    agree = adjusted_rand_score(labels, np.asarray(made.table["cluster"]))
    note = f"adjusted Rand index of {len(made.clusters)} clusters, those in none as one, and {len(set(labels))} folders"
    return Row(f"{method}: clusters of photos", agree, "", note)


# -- beside the plain libraries -----------------------------------------------------------------------------


def _kept(lake: Lake, name: str) -> list[Row]:
    """How many of the nearest, by all numbers of a vector, are among the nearest on the map."""
    generation = open_generation(lake)
    count = len(generation)
    judged = np.arange(min(_JUDGED, count)) * count // min(_JUDGED, count)
    vectors = np.asarray(generation.matrix(_FEATURE), np.float32)  # of length 1
    truth = nearest(vectors[judged], vectors, _NEAREST, own=judged)
    ways = {
        **{f"imrec map, {m}": lambda m=m: _positions(lake, m, SAMPLE) for m in METHODS},
        **{f"imrec map, {m}, half of them placed": lambda m=m: _positions(lake, m, count // 2) for m in METHODS},
        "umap-learn": lambda: _plain_umap(vectors),
        "openTSNE": lambda: _plain_tsne(vectors),
    }
    rows = [Row(f"{count:,} {name}", count, "", f"of the {_NEAREST} nearest of {len(judged):,} are kept")]
    for way, positions_of in ways.items():
        started = process_time()
        positions = positions_of()
        seconds = process_time() - started
        share = share_kept(truth, nearest(positions[judged], positions, _NEAREST, own=judged))
        trust = _trustworthiness(vectors[judged], positions[judged])
        rows.append(Row(f"  {way}", share, "kept", f"trustworthiness {trust:.3f}; {seconds:.0f} s of a core"))
    return rows


def _positions(lake: Lake, method: str, sample: int) -> NDArray[np.float64]:
    build_map(lake, _FEATURE, method=method, name="kept", sample=sample)
    table = load_map(lake, "kept", ["x", "y"]).table
    return np.column_stack([table["x"], table["y"]]).astype(np.float64)


def _plain_umap(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """As it comes, over the whole vectors."""
    import umap

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(umap.UMAP(metric="cosine", random_state=0, n_jobs=1).fit_transform(vectors), np.float64)


def _plain_tsne(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """The same."""
    import openTSNE

    return np.asarray(openTSNE.TSNE(metric="cosine", random_state=0, n_jobs=1).fit(vectors), np.float64)


def _trustworthiness(vectors: NDArray[np.float32], positions: NDArray[np.float64]) -> float:
    from sklearn.manifold import trustworthiness

    return float(trustworthiness(vectors, positions, n_neighbors=_NEAREST, metric="cosine"))
