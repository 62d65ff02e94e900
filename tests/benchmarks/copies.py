"""Edited copies of photos among the rest: what the default mix finds of them, and what each feature finds alone."""

from dataclasses import replace

from imrec_core.evaluation.copy_detection import MAX_PHOTOS, evaluate_copy_detection
from imrec_core.index.opening import open_generation
from imrec_core.lake.settings import DEFAULT_FEATURES, Settings
from imrec_core.search.feature_weights import DEFAULT, mix_weights
from tests.benchmarks.rows import Row
from tests.benchmarks.testbed import Testbed, build_plainly

_ALONE = ("rgb_histogram", "phash", "pdq", "dhash")  # beside what the mix consists of
MIXED = f"mix:{DEFAULT}"


def measure(work: Testbed) -> list[Row]:
    """Recall@1 by edit, and over all edits together with its bootstrap interval."""
    lake = work.new_lake("lake-copies", work.photos)
    lake.save_settings(replace(lake.settings(), features=(*DEFAULT_FEATURES, "sift_vlad", "pdq")))
    build_plainly(lake)
    generation = open_generation(lake)
    whole = mix_weights(Settings(), DEFAULT, generation.features)
    mixes = {
        MIXED: whole,
        f"{MIXED}, without `sift_vlad` and `pdq`": mix_weights(Settings(), DEFAULT, DEFAULT_FEATURES),
    }
    found = evaluate_copy_detection(lake, generation, by=[*whole, *_ALONE], mixes=mixes)
    rows = [Row("gallery", len(generation), "images", f"{MAX_PHOTOS} of them edited")]
    for row in found:
        said = f"{row.recall_at_1.low:.3f} to {row.recall_at_1.high:.3f}"
        wanted = 0.99 if (row.by, row.edit) == (MIXED, "all") else None
        rows.append(Row(row.by, row.recall_at_1.value, f"copies {row.edit}", said, at_least=wanted))
    return rows
