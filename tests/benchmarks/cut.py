"""Whether a cut lets through the share of random pairs that it says, of pairs that no calibration has seen."""

import numpy as np

from imrec_core.extraction.embed import EncodedQuery
from imrec_core.features.feature_metric import FeatureMetric
from imrec_core.search.match_threshold import JointCalibrations, passes_match_threshold
from imrec_core.search.recommender import Recommender
from tests.benchmarks.rows import Row
from tests.benchmarks.testbed import Testbed

_FEATURES = ("efficientnet_lite0", "hsv_histogram", "phash")
_RATES = (0.1, 0.01, 0.001)
_SEED, _SEEN = 20_26, 712  # as calibrations draw their rows


def measure(work: Testbed) -> list[Row]:
    """How far the share of pairs that pass is from the rate asked for, one way or the other."""
    generation = Recommender.open(work.built_lake("lake-cut", work.photos)).generation
    unseen = np.random.default_rng(_SEED).permutation(len(generation))[_SEEN:]
    rows, found, joint = np.arange(len(generation)), [], JointCalibrations(generation)
    chosen = [FeatureMetric.parse(name, generation.feature).weighted(name, 1.0) for name in _FEATURES]
    ways = {c.name: [c] for c in chosen} | {"all three together": chosen}
    for name, features_asked in ways.items():
        for rate in _RATES:
            passed = 0
            for row in unseen:
                vectors = {c.feature.name: np.array(generation.matrix(c.feature.name)[row]) for c in features_asked}
                likes = [EncodedQuery(1.0, vectors)]
                near = passes_match_threshold(joint, features_asked, likes, "best", rate, rows)
                passed += int(near.sum()) - int(near[row])
            share = passed / (len(unseen) * (len(rows) - 1))
            off = max(share / rate, rate / share)
            found.append(Row(f"{name} at {rate:g}", off, "times off", f"{share:.5f} passed", at_most=2.0))
    return [Row("queries", len(unseen), "", f"each against {len(rows) - 1}"), *found]
