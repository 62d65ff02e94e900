"""Random damage to every kind of file in a lake: no crash, and nothing wrong that `imrec check` does not report."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from imrec_core import FEATURES, Lake, Recommender
from imrec_core.index.lake_check import check_lake
from tests.support import toy
from tests.support.byte_damage import KINDS, Outcome, answers, ask, copy_lake, damage

pytestmark = pytest.mark.slow

CASES = int(os.environ.get("IMREC_DAMAGE_CASES", "48"))  # 600: 500 flipped bits and 100 zeroed blocks
SEED = int(os.environ.get("IMREC_DAMAGE_SEED", "15"))
ROWS = 3000


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A lake whose graphs are in use, with two generations, a fit and decisions."""
    rng = np.random.default_rng(0)
    centres = rng.random((60, FEATURES["rgb_histogram"].width)) ** 4
    histograms = (centres[rng.integers(0, 60, ROWS)] + 0.3 * rng.random((ROWS, centres.shape[1]))).astype(np.float32)
    histograms /= histograms.sum(axis=1, keepdims=True)
    hashes = rng.integers(0, 2**63, (ROWS, 1), np.uint64)
    root = tmp_path_factory.mktemp("byte_damage") / "lake"
    lake = toy.two_generations(root, {"rgb_histogram": histograms, "phash": hashes}, shard_size=1000)
    lake.save_decisions({"format": 1})
    return root


def judge(case: str, outcome: Outcome, expected: dict[str, object], counts: Counter[str]) -> list[str]:
    """Count what a case showed; return what must not be."""
    faults = [f"{case}: {step}: {crash.strip().splitlines()[-1]}" for step, crash in outcome.crashes.items()]
    counts["crashes"] += len(faults)
    wrong = {key for key, answer in outcome.before.items() if answer != expected[key] and not _is_error(answer)}
    if wrong and not outcome.warnings["before"]:
        counts["silently wrong before the check"] += 1
        print(f"{case}: before the check: {sorted(wrong)[0]} and {len(wrong) - 1} more")
    counts["one line or a warning before the check"] += any(map(_is_error, outcome.before.values())) or (
        outcome.warnings.get("before", 0) > 0
    )
    counts["reported by the check"] += bool(outcome.damaged)
    late = {key for key, answer in outcome.after.items() if answer != expected[key] and not _is_error(answer)}
    unreported = late if not outcome.damaged else {key for key in late if key.startswith("search")}
    if unreported and not (outcome.damaged and outcome.warnings["after"]):
        faults.append(f"{case}: wrong after the check, which reported {outcome.damaged}: {sorted(unreported)}")
    return faults


def _is_error(answer: object) -> bool:
    return isinstance(answer, str)


def test_random_damage_crashes_nothing_and_is_reported(whole, tmp_path):
    expected = answers(whole, crashes := [])
    assert not crashes and not any(map(_is_error, expected.values()))
    assert check_lake(Lake(whole)).damaged == ()
    recommender = Recommender(Lake(whole))
    assert recommender.generation.id == "000002" and len(recommender.generation.graphs) >= 1
    rng, counts, faults = np.random.default_rng(SEED), Counter[str](), []
    kinds = sorted(kind for kind, pattern in KINDS.items() if any(whole.glob(pattern)))
    for number in range(CASES):
        kind = kinds[number % len(kinds)]
        files = sorted(path for path in whole.glob(KINDS[kind]) if path.is_file() and path.stat().st_size)
        chosen, root = files[rng.integers(len(files))], tmp_path / f"lake-{number}"
        copy_lake(whole, root, chosen)
        where = damage(root / chosen.relative_to(whole), rng, zeros=number % 6 == 5)
        outcome = ask(root)
        shutil.rmtree(root)
        counts["cases"] += 1
        if kind == "settings" and not outcome.damaged:  # another valid setting
            counts["settings that stayed valid"] += 1
            continue
        if number % 50 == 49:
            print(dict(counts), *faults, sep="\n", flush=True)  # a full run takes half an hour
        counts[f"{kind}: reported"] += bool(outcome.damaged)
        counts[f"{kind}: cases"] += 1
        faults += judge(f"case {number}, {chosen.relative_to(whole)}, {where}", outcome, expected, counts)
    print(dict(counts))
    assert not faults, "\n".join(faults)
