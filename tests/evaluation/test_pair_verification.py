"""Pair verification: scores are those of scikit-learn over all pairs, the threshold is that of a search."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import average_precision_score, precision_recall_curve

from imrec_core import Recommender
from imrec_core.errors import QueryError, UnknownName
from imrec_core.evaluation import measures, rankers
from imrec_core.evaluation.pair_labels import Pairs, csv_pairs
from imrec_core.evaluation.pair_verification import evaluate_pairs
from imrec_core.features.feature_metric import FeatureMetric
from imrec_core.index import exact_search
from imrec_core.index.build import build_generation
from imrec_core.index.opening import open_generation
from imrec_core.search.fusion import fuse
from imrec_core.search.match_threshold import joint_calibration
from imrec_core.search.query import ImageId
from imrec_dagster.cli import evaluate_report
from tests.support import toy

COUNT = 24
SAME = [(0, 1), (1, 2), (3, 4), (5, 9), (7, 20)]  # 0 and 2 are not listed, and so not the same
DIFFERENT = [(0, 2), (0, 3), (4, 9), (11, 12), (13, 14), (1, 20)]
NOTHING = np.empty((0, 2), np.int64)


def alike(rows, rng):
    """Hashes with few bits, so that many distances are equal; those of pairs have more bits in common."""
    hashes = rng.integers(0, 2**12, rows, dtype=np.uint64)
    for a, b in SAME:
        hashes[b] = hashes[a] ^ np.uint64(sum(1 << int(bit) for bit in rng.permutation(12)[:3]))
    return hashes[:, None]


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    rng = np.random.default_rng(3)
    histograms = rng.dirichlet(np.full(512, 0.5), COUNT)
    for a, b in SAME:
        histograms[b] = 0.1 * histograms[a] + 0.9 * rng.dirichlet(np.full(512, 0.5))
    root = tmp_path_factory.mktemp("pairs") / "lake"
    names = [f"{i:02d}.jpg" for i in range(COUNT)]
    made = toy.vector_lake(root, {"rgb_histogram": histograms, "phash": alike(COUNT, rng)}, names=names)
    build_generation(made)
    return made


@pytest.fixture(scope="module")
def generation(lake):
    return open_generation(lake)


def pairs(different=()) -> Pairs:
    return Pairs(np.array(SAME), np.array(sorted(different), np.int64).reshape(-1, 2))


def all_distances(generation, name):
    """Distances of all images to all `(n, n)`; of a mix, 1 - fused score."""
    if name == "mix":
        scores = []
        for part in ("rgb_histogram", "phash"):
            calibration = generation.calibration(part, generation.feature(part).metric.name)
            scores.append(calibration.score(all_distances(generation, part)).ravel())
        return 1 - fuse(scores, [1, 1]).reshape(COUNT, COUNT)
    matrix, metric = np.asarray(generation.matrix(name)), generation.feature(name).metric
    return np.array([metric(vector, matrix) for vector in matrix])


def check_curve(found, listed, distances):
    """Points of scikit-learn where the recall rises, its average precision, and its best F1."""
    away = np.array([distances[a, b] for a, b in listed])
    same = np.isin([a * COUNT + b for a, b in listed], [a * COUNT + b for a, b in SAME])
    precision, recall, limits = precision_recall_curve(same, -away)
    curve = found.curve
    assert sorted(curve.distances) == list(curve.distances) and len(curve.distances) == len(set(away[same]))
    for distance, p, r in zip(curve.distances, curve.precision, curve.recall, strict=True):
        at = np.abs(-limits - distance).argmin()  # products of other block sizes are rounded otherwise
        assert -limits[at] == pytest.approx(distance, abs=1e-5)
        assert (p, r) == pytest.approx((precision[at], recall[at]))
    assert found.average_precision == pytest.approx(average_precision_score(same, -away))
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    best = found.best
    assert best.f1 == pytest.approx(f1.max())
    passed = away <= best.distance + 1e-6
    assert best.precision == pytest.approx(same[passed].mean())
    assert best.recall == pytest.approx(passed[same].mean())
    assert (found.same, found.different) == (same.sum(), (~same).sum())


# -- figures ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("held", [16_000_000, 2 * COUNT])
def test_without_different_pairs_all_pairs_with_these_images_count_once(generation, monkeypatch, held):
    monkeypatch.setattr(rankers, "_DISTANCES", held)
    monkeypatch.setattr(exact_search, "BLOCK_BYTES", 4 * 512 * (7 if held < 100 else 16_384))
    of = {f.by: f for f in evaluate_pairs(generation, pairs())}
    assert list(of) == ["rgb_histogram", "phash", "mix"]
    asked = {row for pair in SAME for row in pair}
    listed = [pair for pair in itertools.combinations(range(COUNT), 2) if asked & set(pair)]
    for name, found in of.items():
        check_curve(found, listed, all_distances(generation, name))
        assert 0.1 < found.average_precision < 0.97, name
    assert len({f.best.f1 for f in of.values()}) > 1


def test_with_different_pairs_only_listed_pairs_count(generation):
    for found in evaluate_pairs(generation, pairs(DIFFERENT)):
        check_curve(found, SAME + DIFFERENT, all_distances(generation, found.by))
        assert (found.same, found.different) == (5, 6)


@pytest.mark.parametrize("different", [(), DIFFERENT])
def test_partners_are_ranked_among_all_images(generation, different):
    partners = {0: [1], 1: [0, 2], 2: [1], 3: [4], 4: [3], 5: [9], 7: [20], 9: [5], 20: [7]}
    for found in evaluate_pairs(generation, pairs(different)):
        distances = all_distances(generation, found.by)
        expected = []
        for row, wanted in partners.items():
            others = np.delete(np.arange(COUNT), row)
            expected.append(average_precision_score(np.isin(others, wanted), -distances[row][others]))
        expected = measures.estimate(expected)
        assert found.mean_average_precision.value == pytest.approx(expected.value)
        assert found.mean_average_precision.low == pytest.approx(expected.low)
        assert found.mean_average_precision.n == 9


def test_queries_are_sampled_and_their_pairs_count(generation):
    found = evaluate_pairs(generation, pairs(), by=["phash"], queries=4)
    assert evaluate_pairs(generation, pairs(), by=["phash"], queries=4) == found
    asked = set(rankers.sample(np.unique(SAME), 4).tolist())
    assert len(asked) == 4 and found[0].mean_average_precision.n == 4
    listed = [pair for pair in itertools.combinations(range(COUNT), 2) if asked & set(pair)]
    check_curve(found[0], listed, all_distances(generation, "phash"))
    (all_listed,) = evaluate_pairs(generation, pairs(DIFFERENT), by=["phash"], queries=4)
    check_curve(all_listed, SAME + DIFFERENT, all_distances(generation, "phash"))


def test_curve_computed_by_hand(tmp_path):
    """Beside a common bit, 0, 1, 2, 3 and 7 are set, each including those before: 01 has distance 1, 24 has 5."""
    hashes = np.array([[0b0], [0b1], [0b11], [0b111], [0b1111111]], np.uint64) | np.uint64(1 << 32)
    made = toy.vector_lake(tmp_path / "lake", {"phash": hashes})
    build_generation(made)
    (found,) = evaluate_pairs(
        open_generation(made), Pairs(np.array([[0, 1], [0, 3]]), np.array([[1, 2], [2, 4], [3, 4]]))
    )
    assert found.curve.distances == (1, 3) and found.curve.recall == (0.5, 1)
    assert found.curve.precision == pytest.approx((1 / 2, 2 / 3))  # 12 is as near as 01; nothing more up to 3
    assert found.average_precision == pytest.approx(0.5 * 1 / 2 + 0.5 * 2 / 3)
    assert (found.best.distance, found.best.f1) == (3, pytest.approx(0.8))
    # 0 ranks 1, 2, 3: 1/1 and 2/3; 1 ranks 0 and 2 equally: 1/2; 3 ranks 2, 1, 0: 1/3.
    expected = np.mean([(1 + 2 / 3) / 2, 1 / 2, 1 / 3])
    assert found.mean_average_precision.value == pytest.approx(expected)


@pytest.mark.parametrize("by", [["rgb_histogram"], ["phash"], ["rgb_histogram", "phash"]])
def test_search_with_the_best_threshold_finds_the_same_pairs(lake, generation, by):
    found = evaluate_pairs(generation, pairs(DIFFERENT), by=by)[-1]
    rec = Recommender.open(lake)
    ids = rec.generation.rows["image_id"].to_pylist()
    rate = found.best.false_match_rate
    near = all_distances(generation, found.by) <= found.best.distance * (1 + 1e-5) + 1e-6
    assert 0 < rate < 1 and near.sum() > COUNT + 2
    for row in range(COUNT):
        hits = rec.search(ImageId(ids[row]), by=by, k=COUNT, exact=True, max_false_match_rate=rate)
        assert {ids.index(hit.image_id) for hit in hits} == set(np.flatnonzero(near[row]).tolist()) - {row}


def test_rate_of_distance_0_is_valid_for_a_search(tmp_path):
    hashes = np.array([[5], [5], [700], [2**40 - 1]], np.uint64)
    made = toy.vector_lake(tmp_path / "lake", {"phash": hashes})
    build_generation(made)
    (found,) = evaluate_pairs(open_generation(made), Pairs(np.array([[0, 1]]), NOTHING))
    assert (found.best.distance, found.best.f1) == (0, 1) and 0 < found.best.false_match_rate < 1e-6
    rec = Recommender.open(made)
    first = ImageId(rec.generation.rows["image_id"][0].as_py())
    assert len(rec.search(first, exact=True, max_false_match_rate=found.best.false_match_rate)) == 1


def test_false_match_rate_of_a_mix_is_that_of_its_score(generation):
    weights = {"phash": 3.0, "rgb_histogram": 1.0}
    found = evaluate_pairs(generation, pairs(), by=["phash"], mixes={"own": weights})
    assert [f.by for f in found] == ["phash", "own"]
    chosen = [FeatureMetric.parse(name, generation.feature).weighted(name, w) for name, w in weights.items()]
    expected = joint_calibration(generation, chosen).false_match_rate(np.float32([found[1].best.distance]))
    # The rate is of a slightly larger distance, so that a search with it finds the pair.
    assert found[1].best.false_match_rate == pytest.approx(expected[0], rel=1e-3)
    with pytest.raises(UnknownName):
        evaluate_pairs(generation, pairs(), by=["phish"])


# -- the list -----------------------------------------------------------------------------------------------


def written(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8-sig")
    return path


def test_pairs_accept_all_forms_of_paths_and_count_once(lake, generation, tmp_path):
    sources = lake.settings().sources
    absolute = sources["photos"] / "07.jpg"
    file = written(
        tmp_path / "a.csv", "b,who,a,same", "01.jpg,me,photos/00.jpg,1", f"{absolute},me,06.jpg,TRUE",
        "00.jpg,me,01.jpg,true", "02.jpg,,05.jpg,0", "04.jpg,,03.jpg,False", "photos/05.jpg,,02.jpg,0",
    )  # fmt: skip
    found = csv_pairs(generation, file, sources)
    assert found.same.tolist() == [[0, 1], [6, 7]] and found.different.tolist() == [[2, 5], [3, 4]]


def test_pairs_without_the_column_same_are_the_same_and_not_transitive(generation, tmp_path):
    found = csv_pairs(generation, written(tmp_path / "a.csv", "a,b", "02.jpg,01.jpg", "00.jpg,01.jpg"), {})
    assert found.same.tolist() == [[0, 1], [1, 2]] and found.different.shape == (0, 2)


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        (("a,c", "00.jpg,01.jpg"), r"a.csv has no column b; its columns are a, c$"),
        (("path;label",), "has no column a and b; its columns are path;label$"),
        (("",), "has no column a and b; its columns are none"),
        (("a,b",), r"a.csv lists no pairs; expected rows below the header a,b or a,b,same"),
        (("a,b", "00.jpg,01.jpg", "02.jpg,"), "line 3: a or b is empty"),
        (("a,b", "00.jpg"), "line 2: a or b is empty"),
        (("a,b", "00.jpg,photos/00.jpg"), r"pairs 00.jpg with itself \(photos/00.jpg\); expected two different"),
        (("a,b,same", "00.jpg,01.jpg,1", "01.jpg,00.jpg,0"), "lists 01.jpg and 00.jpg both as same and as different"),
        (("a,b,same", "00.jpg,01.jpg,yes"), "line 2: same is 'yes'; expected 1, 0, true or false"),
        (("a,b,same", "00.jpg,01.jpg,"), "line 2: same is ''"),
        (("a,b,same", "00.jpg,01.jpg"), "line 2: same is ''"),
        (("a,b,same", "00.jpg,01.jpg,0", "02.jpg,01.jpg,0"), "lists 2 pairs, all different; add at least one"),
        (("a,b", "x.jpg,01.jpg", "x.jpg,02.jpg"), "names 1 files that are not in the lake: x.jpg$"),
    ],
)
def test_invalid_pairs_are_refused(generation, tmp_path, lines, complaint):
    with pytest.raises(QueryError, match=complaint):
        csv_pairs(generation, written(tmp_path / "a.csv", *lines), {})


def test_unknown_files_are_counted_and_five_are_named(generation, tmp_path):
    file = written(tmp_path / "a.csv", "a,b", *[f"no/{i}.jpg,no/{i + 1}.jpg" for i in range(7)], "00.jpg,01.jpg")
    with pytest.raises(QueryError, match=r"names 8 files that are not in the lake, the first five: no/0.*no/4.jpg$"):
        csv_pairs(generation, file, {})


def test_unreadable_file_is_refused(generation, tmp_path):
    with pytest.raises(QueryError, match="cannot be read as CSV"):
        csv_pairs(generation, tmp_path / "none.csv", {})
    (tmp_path / "b.csv").write_bytes(b"a,b\n\xff\xfe,a\n")
    with pytest.raises(QueryError, match="cannot be read as CSV"):
        csv_pairs(generation, tmp_path / "b.csv", {})


def test_path_of_two_files_is_ambiguous(new_lake, tmp_path):
    for source in ("a", "b"):
        toy.write_photos(tmp_path / source, range(2))
    made = new_lake(0, ("phash",), built=False, sources={"a": tmp_path / "a", "b": tmp_path / "b"})
    toy.build(made)
    file = written(tmp_path / "a.csv", "a,b", "a/photo_000.jpg,photo_001.jpg")
    with pytest.raises(QueryError, match=r"photo_001.jpg is in several sources; write it as SOURCE/photo_001.jpg"):
        csv_pairs(open_generation(made), file, {})


# -- the command --------------------------------------------------------------------------------------------


def test_command_prints_a_table_and_draws(imrec, lake, tmp_path, monkeypatch):
    drawn: list = []
    written(tmp_path / "a.csv", "a,b", *[f"{a:02d}.jpg,{b:02d}.jpg" for a, b in SAME])
    said = imrec("evaluate", "--pairs", "a.csv", "--plot", "curves.png", "--lake", lake.root)
    heading, *rows, means, counted, hint = said.out.splitlines()
    assert heading.split()[:5] == ["mAP", "AP", "of", "all", "pairs"] and heading.endswith("false match rate")
    assert [row.split()[0] for row in rows] == ["rgb_histogram", "phash", "mix"]
    assert means.startswith("mAP over 9 query images, with all 24 images as gallery")
    others = sum(COUNT - 1 - i for i in range(9)) - 5
    assert counted.startswith(f"the rest over 5 pairs that are the same and {others} other pairs of these images")
    assert "--max-false-match-rate" in hint
    assert "0 of 9 queries over 24 images ranked" in said.err
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.width > 300
    found = evaluate_pairs(open_generation(lake), pairs())
    with monkeypatch.context() as patched:
        patched.setattr(
            "imrec_core.plots.draw_precision_recall", lambda *a, **options: drawn.append((a, options)) or b""
        )
        imrec("evaluate", "--pairs", "a.csv", "--plot", "curves.png", "--lake", lake.root)
    (((curves,), options),) = drawn
    assert list(curves) == [f.by for f in found]
    assert options["notes"] == {f.by: f"{f.average_precision:.3f}" for f in found}
    assert list(curves.values()) == [(f.curve.recall, f.curve.precision) for f in found]
    assert options["steps"] and list(options["marks"]) == list(curves)
    assert list(options["marks"].values()) == [(f.best.recall, f.best.precision) for f in found]


def test_command_prints_json_with_the_curve(imrec, lake, tmp_path):
    lines = [f"{a:02d}.jpg,{b:02d}.jpg,{same}" for same, listed in ((1, SAME), (0, DIFFERENT)) for a, b in listed]
    written(tmp_path / "a.csv", "a,b,same", *lines)
    asked = ("evaluate", "--pairs", "a.csv", "--by", "phash", "--lake", lake.root)
    (told,) = json.loads(imrec(*asked, "--json").out)
    assert (told["by"], told["same"], told["different"]) == ("phash", 5, 6)
    assert set(told["curve"]) == {"distances", "precision", "recall"} and told["curve"]["recall"][-1] == 1
    assert set(told["best"]) == {"distance", "false_match_rate", "precision", "recall", "f1"}
    assert told["mean_average_precision"]["n"] == 9 and 0 < told["average_precision"] <= 1
    assert "and 6 listed as different" in imrec(*asked).out
    assert imrec("evaluate", "--pairs", "none.csv", "--lake", lake.root).complaint.startswith("imrec: none.csv cannot")


@pytest.mark.parametrize(
    "other", [("--labels", "b.csv"), ("--copies",), ("--index",), ("--fusion",), ("--naming", "ukbench")]
)
def test_wrong_usage_is_refused(imrec, lake, other):
    assert imrec("evaluate", "--pairs", "a.csv", *other, "--lake", lake.root).status == 2


def test_printed_rates_are_round_up_so_that_pairs_at_the_limit_pass():
    shown = {0.0: "0", 1.0: "1", 0.29: "0.29", 0.2901: "0.3", 1.21e-5: "1.3e-05", 0.00101: "0.0011"}
    assert {rate: evaluate_report._round_up(rate) for rate in shown} == shown
