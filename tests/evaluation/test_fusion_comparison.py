"""Comparison of fusions: the evaluated order is that of an exact search."""

from __future__ import annotations

import json
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import average_precision_score

from imrec_core import Recommender
from imrec_core.errors import BadWeights, QueryError, UnknownName
from imrec_core.evaluation import measures, rankers
from imrec_core.evaluation.copy_detection import evaluate_copy_detection
from imrec_core.evaluation.fusion_comparison import FusionScores, evaluate_fusions, evaluate_fusions_by_copies
from imrec_core.evaluation.labels import folder_labels
from imrec_core.evaluation.measures import Estimate
from imrec_core.evaluation.retrieval import evaluate_retrieval
from imrec_core.images.edits import COPY_PROTOCOL
from imrec_core.index import exact_search
from imrec_core.index.build import build_generation
from imrec_core.index.opening import open_generation
from imrec_core.search.fusion import FUSIONS
from imrec_core.search.query import ImageId
from imrec_dagster.cli import evaluate_report
from tests.support import toy

FOLDERS = ["beach"] * 9 + ["city"] * 6 + ["odd"]
FEW = {name: COPY_PROTOCOL[name] for name in ("jpeg10", "brighter", "mirrored")}
ALIKE = {"rgb_histogram": 1.0, "phash": 1.0}
SKEWED = {"rgb_histogram": 3.0, "phash": 1.0, "phash:hamming_dihedral": 0.5}


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    """Two folders and two weak features that are right for different images; hashes have many ties."""
    rng = np.random.default_rng(5)
    centres = {name: rng.dirichlet(np.full(512, 0.5)) for name in FOLDERS}
    histograms = np.array([0.15 * centres[f] + 0.85 * rng.dirichlet(np.full(512, 0.5)) for f in FOLDERS])
    words = {name: rng.integers(0, 2**64, dtype=np.uint64) for name in dict.fromkeys(FOLDERS)}
    flips = rng.integers(0, 2**64, (len(FOLDERS), 2), dtype=np.uint64)
    hashes = np.array([[words[f] ^ (a & b)] for f, (a, b) in zip(FOLDERS, flips)], np.uint64)
    root = tmp_path_factory.mktemp("fused") / "lake"
    names = [f"{folder}/{i:02d}.jpg" for i, folder in enumerate(FOLDERS)]
    made = toy.vector_lake(root, {"rgb_histogram": histograms, "phash": hashes}, names=names)
    build_generation(made)
    return made


@pytest.fixture(scope="module")
def generation(lake):
    return open_generation(lake)


@pytest.fixture(scope="module")
def photo_lake(tmp_path_factory):
    root = tmp_path_factory.mktemp("fused_copies")
    toy.write_photos(root / "photos", range(14))
    made = toy.new_lake(root / "lake", ("rgb_histogram", "phash"))
    toy.build(made)
    return made


def searched(lake, by, fuse) -> list[np.ndarray]:
    """For each query image, whether its hits are in its folder, best first, by a search of all images."""
    rec = Recommender.open(lake)
    ids = rec.generation.rows["image_id"].to_pylist()
    folder = dict(zip(ids, FOLDERS))
    found = [rec.search(ImageId(i), k=99, by=by, fuse=fuse, exact=True) for i in ids[:-1]]
    return [np.array([folder[hit.image_id] == folder[i] for hit in hits]) for i, hits in zip(ids, found)]


# -- by labels ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", [ALIKE, SKEWED])
def test_order_is_that_of_an_exact_search_by_each_fusion(lake, generation, weights, monkeypatch):
    monkeypatch.setattr(rankers, "_DISTANCES", 16 * 6)  # two queries at a time
    monkeypatch.setattr(exact_search, "BLOCK_BYTES", 4 * 512 * 5)
    found = evaluate_fusions(generation, folder_labels(generation), mix=("own", weights), k=3)
    assert [j.by for j in found.judged] == [*weights, "own by score", "own by rrf", "own by dbsf"]
    of = {j.by: j for j in found.judged}
    for fusion in FUSIONS:
        rankings = searched(lake, weights, fusion)
        for name, measure in (
            ("P@3", lambda r: measures.precision_at_k(r, 3)),
            ("mAP", measures.average_precision),
            ("nDCG", measures.ndcg),
        ):
            expected = np.mean([measure(ranking) for ranking in rankings])
            assert of[f"own by {fusion}"].measures[name].value == pytest.approx(expected), (fusion, name)
        curve = np.mean([measures.interpolated_precision(ranking) for ranking in rankings], axis=0)
        assert of[f"own by {fusion}"].precision == pytest.approx(curve)
    values = {j.measures["mAP"].value for j in found.judged}
    assert len(values) == len(found.judged) and 0.4 < min(values) < max(values) < 0.99


@pytest.mark.parametrize("heavy", ["phash", "rgb_histogram"])
def test_heaviest_feature_breaks_ties_of_distant_rows(generation, heavy):
    weights = {name: 2.0 if name == heavy else 1.0 for name in ("rgb_histogram", "phash")}
    ranker_set = rankers.RankerSet.of(generation, mixes={"own": weights})
    far = np.zeros(512, np.float32)
    far[np.asarray(generation.matrix("rgb_histogram")).sum(axis=0).argmin()] = 1
    bits = np.unpackbits(np.asarray(generation.matrix("phash")).view(np.uint8), axis=1)
    rarer = np.packbits(bits.mean(axis=0) < 0.5).view(np.uint64)  # of each bit the value that fewer images have
    queries = {"rgb_histogram": [far], "phash": [rarer]}
    rows = np.arange(16)
    values = dict(ranker_set.all_distances(generation, queries, rows))
    flat = np.flatnonzero(values["own"][0] == 1)
    assert len(flat) > 5
    places = dict(ranker_set.distances(generation, queries, rows))["own"][0][flat]
    assert len(set(places.tolist())) > 3
    assert np.unique(places, return_inverse=True)[1].tolist() == (
        np.unique(values[heavy][0][flat], return_inverse=True)[1].tolist()
    )


def test_gain_is_the_mean_difference_to_the_best_feature(lake, generation):
    found = evaluate_fusions(generation, folder_labels(generation))
    of = {j.by: j.measures["mAP"].value for j in found.judged}
    assert list(of) == ["rgb_histogram", "phash", "mix by score", "mix by rrf", "mix by dbsf"]
    assert found.best == max(("rgb_histogram", "phash"), key=of.__getitem__)
    assert (found.mix, found.weights) == ("mix", {"rgb_histogram": 0.5, "phash": 0.5})

    def precisions(by, fuse):
        return np.array([average_precision_score(r, -np.arange(len(r))) for r in searched(lake, by, fuse)])

    alone = precisions(found.best, "score")
    assert list(found.gains) == list(FUSIONS)
    for fusion, gain in found.gains.items():
        expected = measures.estimate(precisions({"rgb_histogram": 1, "phash": 1}, fusion) - alone)
        assert (gain.value, gain.low, gain.high) == pytest.approx((expected.value, expected.low, expected.high))
        assert gain.n == 15 and gain.value == pytest.approx(of[f"mix by {fusion}"] - of[found.best])


def test_single_features_and_score_fusion_match_evaluate_retrieval(generation):
    labels = folder_labels(generation)
    plain = evaluate_retrieval(generation, labels)
    found = evaluate_fusions(generation, labels)
    assert [j.measures for j in found.judged[:3]] == [j.measures for j in plain]
    assert [j.precision for j in found.judged[:3]] == [j.precision for j in plain]


def test_single_features_are_those_of_the_mix_and_of_by(generation):
    labels = folder_labels(generation)
    mix = ("own", {"phash": 1.0, "phash:hamming_dihedral": 2.0, "rgb_histogram": 0.0})
    alone = [j.by for j in evaluate_fusions(generation, labels, mix=mix).judged[:-3]]
    assert alone == ["phash", "phash:hamming_dihedral"]
    beside = evaluate_fusions(generation, labels, by=["rgb_histogram", "phash"], mix=mix)
    assert [j.by for j in beside.judged[:-3]] == ["rgb_histogram", "phash", "phash:hamming_dihedral"]
    assert beside.weights == pytest.approx({"phash": 1 / 3, "phash:hamming_dihedral": 2 / 3})


def test_invalid_comparison_is_refused(generation):
    labels = folder_labels(generation)
    with pytest.raises(QueryError, match="phash alone has nothing to be fused with; name two features or more"):
        evaluate_fusions(generation, labels, by=["phash"])
    with pytest.raises(QueryError, match="phash alone"):
        evaluate_fusions(generation, labels, mix=("own", {"phash": 1.0, "rgb_histogram": 0.0}))
    for weights, error in (
        ({"phash": -1.0, "rgb_histogram": 1.0}, BadWeights),
        ({"phish": 1.0, "phash": 1}, UnknownName),
    ):
        with pytest.raises(error):
            evaluate_fusions(generation, labels, mix=("own", weights))


def test_number_of_queries_is_limited(generation):
    found = evaluate_fusions(generation, folder_labels(generation), queries=4)
    assert {gain.n for gain in found.gains.values()} == {4}
    assert {j.measures["mAP"].n for j in found.judged} == {4}


# -- by copies ----------------------------------------------------------------------------------------------


def test_originals_have_their_ranks_in_a_search(photo_lake):
    weights = {"rgb_histogram": 0.95, "phash": 0.05}
    found = evaluate_fusions_by_copies(photo_lake, open_generation(photo_lake), mix=("m", weights), photos=8, edits=FEW)
    rec = Recommender.open(photo_lake)
    rows = rankers.sample(np.arange(14), 8)
    paths = rec.generation.rows["path"].to_pylist()
    for fusion in FUSIONS:
        ranks = np.empty((8, len(FEW)))
        for i, row in enumerate(rows):
            picture = Image.open(photo_lake.root.parent / "photos" / paths[row]).convert("RGB")
            for j, edit in enumerate(FEW.values()):
                copy = Image.open(BytesIO(edit(picture)))
                hits = rec.search(copy, k=14, by=weights, fuse=fusion, exact=True)
                ranks[i, j] = next(hit.rank for hit in hits if hit.path.endswith(paths[row]))
        (of_fusion,) = [j for j in found.judged if j.by == f"m by {fusion}"]
        assert of_fusion.measures["mAP"].value == pytest.approx((1 / ranks).mean()), fusion
        assert of_fusion.measures["R@1"].value == pytest.approx((ranks == 1).mean()), fusion
        assert of_fusion.measures["mAP"].n == 8 and of_fusion.precision == ()
        assert ranks.max() > 1, fusion


def test_single_features_match_copy_detection_and_gains_are_over_images(photo_lake):
    generation = open_generation(photo_lake)
    found = evaluate_fusions_by_copies(photo_lake, generation, edits=FEW)
    plain = {f.by: f for f in evaluate_copy_detection(photo_lake, generation, edits=FEW) if f.edit == "all"}
    for single, same in (("rgb_histogram",) * 2, ("phash",) * 2, ("mix by score", "mix")):
        (of,) = [j for j in found.judged if j.by == single]
        assert of.measures == {"R@1": plain[same].recall_at_1, "mAP": plain[same].mean_average_precision}
    assert {gain.n for gain in found.gains.values()} == {14}
    with pytest.raises(QueryError, match="alone has nothing"):
        evaluate_fusions_by_copies(photo_lake, generation, by=["phash"])


# -- the command --------------------------------------------------------------------------------------------


def test_command_prints_one_table_and_a_verdict_and_draws(imrec, lake, tmp_path):
    said = imrec("evaluate", "--fusion", "-k", 3, "--plot", "curves.png", "--lake", lake.root)
    heading, *rows, last = said.out.splitlines()
    assert heading.split() == ["P@3", "R@3", "mAP", "nDCG", "mAP", "over", "the", "best", "alone"]
    names = ["rgb_histogram", "phash", "mix by score", "mix by rrf", "mix by dbsf"]
    assert [row.partition("  ")[0] for row in rows] == names
    assert sum(row.endswith("(the best alone)") for row in rows[:2]) == 1
    assert all(row.split("  ")[-1][0] in "+-" for row in rows[2:])
    assert last.startswith("fusion by ") and ("better than" in last or "worse than" in last) and "15 queries" in last
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.width > 300


def test_command_prints_json_and_takes_labels_and_a_mix(imrec, lake, tmp_path):
    toy.set_to(lake, mixes={"both": {"rgb_histogram": 0.25, "phash": 0.75}, "hash": {"phash": 1.0}})
    (tmp_path / "a.csv").write_text("path,label\n" + "".join(f"beach/0{i}.jpg,{i % 2}\n" for i in range(6)))
    asked = ("evaluate", "--fusion", "--labels", "a.csv", "--lake", lake.root)
    told = json.loads(imrec(*asked, "--by", "mix:both", "--json").out)
    assert set(told) == {"judged", "mix", "weights", "best", "gains"}
    assert told["mix"] == "mix:both" and told["weights"] == {"rgb_histogram": 0.25, "phash": 0.75}
    assert [j["by"] for j in told["judged"]][2:] == [f"mix:both by {fusion}" for fusion in FUSIONS]
    assert told["gains"]["rrf"]["n"] == 6 and len(told["judged"][0]["precision"]) == 21
    alone = imrec(*asked, "--by", "mix:hash")
    assert alone.complaint == "imrec: phash alone has nothing to be fused with; name two features or more"
    several = imrec(*asked, "--by", "mix:hash", "--by", "mix:both")
    assert several.status == 2 and "name one" in several.err


def test_command_evaluates_copies(imrec, photo_lake, monkeypatch):
    defaults = evaluate_fusions_by_copies.__kwdefaults__
    monkeypatch.setattr(evaluate_fusions_by_copies, "__kwdefaults__", {**defaults, "edits": FEW})
    said = imrec("evaluate", "--fusion", "--copies", "--queries", 6, "--lake", photo_lake.root)
    heading, *rows, last = said.out.splitlines()
    assert heading.split()[:2] == ["R@1", "mAP"] and len(rows) == 5
    assert "6 images" in last and "0 of 6 images edited in 3 ways" in said.err


@pytest.mark.parametrize(
    "wrong", [("--index",), ("--projections",), ("--pairs", "a.csv"), ("--copies", "--plot", "a.png")]
)
def test_wrong_usage_is_refused(imrec, lake, wrong):
    assert imrec("evaluate", "--fusion", *wrong, "--lake", lake.root).status == 2


@pytest.mark.parametrize(
    ("gain", "words"),
    [
        (Estimate(0.02, 0.01, 0.03, 9), "fusion by rrf is 0.020 [0.010, 0.030] better than the best feature alone (a)"),
        (
            Estimate(-0.02, -0.03, -0.01, 9),
            "fusion by rrf is 0.020 [0.010, 0.030] worse than the best feature alone (a)",
        ),
        (
            Estimate(0.02, -0.01, 0.03, 9),
            "fusion by rrf is 0.020 [-0.010, 0.030] better than the best feature alone (a)",
        ),
        (
            Estimate(-0.01, -0.03, 0.01, 9),
            "fusion by rrf is 0.010 [-0.010, 0.030] worse than the best feature alone (a)",
        ),
    ],
)
def test_verdict_names_the_best_fusion_and_possible_chance(gain, words):
    gains = {"score": Estimate(-0.5, -0.6, -0.4, 9), "rrf": gain, "dbsf": Estimate(-0.9, -1, -0.8, 9)}
    said = evaluate_report._verdict(FusionScores((), "mix", {}, "a", gains), "queries")
    assert said == words + ", 9 queries" + ("; not significant" if gain.low < 0 < gain.high else "")
