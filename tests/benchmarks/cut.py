"""Whether a cut lets through the share of random pairs that it says, of pairs that no calibration has seen.

Once over photos, and once with a tenth of the images being frames of one scene: the frames are no different images, so
pairs of two frames do not count.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

from imrec_core.extraction.embed import EncodedQuery
from imrec_core.features.feature_metric import FeatureMetric
from imrec_core.index.calibration_pairs import RandomPairs
from imrec_core.index.generation import Generation
from imrec_core.index.scenes import Scenes
from imrec_core.search.match_threshold import JointCalibrations, passes_match_threshold
from imrec_core.search.recommender import Recommender
from tests.benchmarks.rows import Row
from tests.benchmarks.testbed import Testbed, build_plainly

_FEATURES = ("efficientnet_lite0", "hsv_histogram", "phash")
_RATES = (0.1, 0.01, 0.001)
_SEED, _SEEN = 20_26, 712  # as calibrations draw their rows
_FRAMES = "frames"
_SIZES, _DRAWS = (20, 50, 100, 250), 20  # images of a small lake, lakes of each size


def measure(work: Testbed) -> list[Row]:
    """How far the share of pairs that pass is from the rate asked for, one way or the other."""
    plain = Recommender.open(work.built_lake("lake-cut", work.photos)).generation
    lake = work.new_lake("lake-frames", work.photos)
    frames = work.folder / _FRAMES
    _write_frames(next(iter(sorted(work.photos.rglob("*.jpg")))), frames, len(plain) // 9)
    lake.save_settings(replace(lake.settings(), sources={**lake.settings().sources, _FRAMES: frames}))
    build_plainly(lake)
    beside_frames = Recommender.open(lake).generation
    return [
        *_measure(plain, ""),
        *_measure(beside_frames, "a tenth frames: "),
        *_small_lakes(plain),
        *_scenes(plain, beside_frames),
    ]


def _write_frames(photo: Path, folder: Path, count: int) -> None:
    """Write views of a photo that are shifted by up to 15 % and up to 20 % brighter or darker."""
    folder.mkdir()
    rng = np.random.default_rng(_SEED)
    with Image.open(photo) as opened:
        image = opened.convert("RGB")
    width, height = round(image.width * 0.85), round(image.height * 0.85)
    for number in range(count):
        left, top = (int(rng.integers(0, side - of)) for side, of in ((image.width, width), (image.height, height)))
        view = image.crop((left, top, left + width, top + height))
        ImageEnhance.Brightness(view).enhance(rng.uniform(0.8, 1.2)).save(folder / f"{number:04d}.jpg", quality=92)


def _small_lakes(generation: Generation) -> list[Row]:
    """Rates of pairs of other photos at the thresholds of samples, of which a small one has no pairs at small rates."""
    rng, rows = np.random.default_rng(_SEED), []
    for name in _FEATURES[:2]:
        pair = FeatureMetric.parse(name, generation.feature)
        matrix = np.asarray(generation.matrix(pair.feature.name), np.float32)
        for size in _SIZES:
            passed: list[list[float]] = []
            for _ in range(_DRAWS):
                order = rng.permutation(len(generation))
                sample, others = order[:size], order[size : size + 400]
                pairs = RandomPairs.of_rows(generation, sample)
                calibration = pairs.calibration(pairs.distances(generation, pair))
                unseen = RandomPairs.of_rows(generation, others).counts
                distances = np.stack([pair(vector, matrix[others]) for vector in matrix[others]])[unseen]
                rates = calibration.false_match_rate(distances)
                passed.append([float((rates <= rate).mean() / rate) for rate in _RATES[1:]])
            for rate, times in zip(_RATES[1:], np.mean(passed, axis=0), strict=True):
                rows.append(Row(f"{name} at {rate:g}, of {size} images", times, "times the rate passed"))
    return rows


def _scenes(plain: Generation, beside_frames: Generation) -> list[Row]:
    """Pairs of different photos that are taken for one scene, and frames of one scene that are not."""
    rows = np.arange(len(plain))
    is_shared = Scenes.of(plain, rows).are_shared(rows, rows)[np.triu_indices(len(rows), 1)]
    sources = beside_frames.rows["source"].to_pylist()
    frames = np.array([row for row, source in enumerate(sources) if source == _FRAMES])
    found = Scenes.of(beside_frames, frames).are_shared(frames, frames)[np.triu_indices(len(frames), 1)]
    return [
        Row("pairs of photos taken for one scene", 100 * float(is_shared.mean()), "%"),
        Row("pairs of frames taken for one scene", 100 * float(found.mean()), "%"),
    ]


def _measure(generation: Generation, prefix: str) -> list[Row]:
    is_frame = np.array([source == _FRAMES for source in generation.rows["source"].to_pylist()])
    unseen = np.random.default_rng(_SEED).permutation(len(generation))[_SEEN:]
    rows, found, joint = np.arange(len(generation)), [], JointCalibrations(generation)
    chosen = [FeatureMetric.parse(name, generation.feature).weighted(name, 1.0) for name in _FEATURES]
    ways = {c.name: [c] for c in chosen} | {"all three together": chosen}
    for name, features_asked in ways.items():
        for rate in _RATES:
            passed = pairs = 0
            for row in unseen:
                vectors = {c.feature.name: np.array(generation.matrix(c.feature.name)[row]) for c in features_asked}
                likes = [EncodedQuery(1.0, vectors)]
                near = passes_match_threshold(joint, features_asked, likes, "best", rate, rows)
                counts = (rows != row) & ~(is_frame[row] & is_frame)
                passed, pairs = passed + int(near[counts].sum()), pairs + int(counts.sum())
            share = passed / pairs
            off = max(share / rate, rate / share) if share else float("inf")
            found.append(Row(f"{prefix}{name} at {rate:g}", off, "times off", f"{share:.5f} passed", at_most=2.0))
    return [Row(f"{prefix}queries", len(unseen), "", f"each against {len(rows) - 1}"), *found]
