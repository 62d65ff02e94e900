"""Retrieval scores are those of plain loops; labels come from folders, CSV files and file names."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.distance import cdist
from sklearn.metrics import average_precision_score, ndcg_score

from imrec_core.errors import BadWeights, QueryError, UnknownName
from imrec_core.evaluation import rankers, retrieval
from imrec_core.evaluation.labels import csv_labels, folder_labels, named_labels
from imrec_core.evaluation.measures import RECALL_LEVELS
from imrec_core.evaluation.rankers import MIX
from imrec_core.evaluation.retrieval import evaluate_retrieval
from imrec_core.index import exact_search
from imrec_core.index.build import build_generation
from imrec_core.index.opening import open_generation
from tests.support import toy

FOLDERS = ["beach"] * 9 + ["city"] * 5 + ["odd"]  # a single image has no relevant images


def made(root: Path, names: list[str], seed: int = 0):
    """A lake without files; vectors of one folder (or number) are similar."""
    rng = np.random.default_rng(seed)
    centres = {name.partition("/")[0]: rng.dirichlet(np.full(512, 0.5)) for name in names}
    histograms = np.array(
        [0.12 * centres[n.partition("/")[0]] + 0.88 * rng.dirichlet(np.full(512, 0.5)) for n in names]
    )
    hashes = rng.integers(0, 2**64, (len(names), 1), dtype=np.uint64)
    lake = toy.vector_lake(root / "lake", {"rgb_histogram": histograms, "phash": hashes}, names=names)
    build_generation(lake)
    return lake


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    return made(tmp_path_factory.mktemp("judged"), [f"{folder}/{i:02d}.jpg" for i, folder in enumerate(FOLDERS)])


@pytest.fixture(scope="module")
def generation(lake):
    return open_generation(lake)


# -- measuring ----------------------------------------------------------------------------------------------


def test_scores_are_those_of_plain_loops(generation, monkeypatch):
    monkeypatch.setattr(rankers, "_DISTANCES", 40)  # two queries at a time
    monkeypatch.setattr(exact_search, "BLOCK_BYTES", 4 * 512 * 4)
    (found,) = evaluate_retrieval(generation, folder_labels(generation), by=["rgb_histogram"], k=3)
    vectors, labels = np.asarray(generation.matrix("rgb_histogram"), float), np.array(FOLDERS)
    distances = cdist(np.sqrt(vectors), np.sqrt(vectors))
    expected = {"P@3": [], "R@3": [], "mAP": [], "nDCG": []}
    for row in range(14):
        others = np.arange(15) != row
        relevant, near = (labels == labels[row])[others], -distances[row][others]
        first = relevant[np.argsort(-near)[:3]]
        expected["P@3"].append(first.sum() / 3)
        expected["R@3"].append(first.sum() / relevant.sum())
        expected["mAP"].append(average_precision_score(relevant, near))
        expected["nDCG"].append(ndcg_score([relevant], [near]))
    assert {name: e.value for name, e in found.measures.items()} == pytest.approx(
        {name: np.mean(values) for name, values in expected.items()}
    )
    assert 0.4 < found.measures["mAP"].value < 0.99
    assert all(e.n == 14 and e.low <= e.value <= e.high for e in found.measures.values())


def test_curve_falls_from_the_best_precision_to_the_share_of_the_class(generation):
    (found,) = evaluate_retrieval(generation, folder_labels(generation), by=["rgb_histogram"])
    assert len(found.precision) == len(RECALL_LEVELS)
    assert list(found.precision) == sorted(found.precision, reverse=True)


def test_default_is_every_feature_in_its_default_metric(generation):
    labels = folder_labels(generation)
    assert [j.by for j in evaluate_retrieval(generation, labels)] == ["rgb_histogram", "phash", MIX]
    both = evaluate_retrieval(generation, labels, by=["phash:hamming_dihedral", "phash"], mixes={})
    assert [j.by for j in both] == ["phash:hamming_dihedral", "phash"]
    assert both[0].measures != both[1].measures
    with pytest.raises(UnknownName, match="no feature named 'phish'"):
        evaluate_retrieval(generation, labels, by=["phish"])


def test_mix_ranks_by_the_fused_scores(generation):
    labels = folder_labels(generation)
    found = evaluate_retrieval(
        generation, labels, by=["phash"], mixes={"a": {"rgb_histogram": 3.0, "phash": 1.0, "phash:hamming": 0}}
    )
    assert [j.by for j in found] == ["phash", "a"]
    fused = np.zeros((15, 15))
    for name, weight in (("rgb_histogram", 0.75), ("phash", 0.25)):
        matrix, metric = np.asarray(generation.matrix(name)), generation.feature(name).metric
        calibration = generation.calibration(name, metric.name)
        fused += weight * np.array([calibration.score(metric(vector, matrix)) for vector in matrix])
    others = ~np.eye(15, dtype=bool)
    relevant = np.equal.outer(FOLDERS, FOLDERS)
    expected = [average_precision_score(relevant[i][others[i]], fused[i][others[i]]) for i in range(14)]
    assert found[1].measures["mAP"].value == pytest.approx(np.mean(expected))
    *_, alone = evaluate_retrieval(generation, labels, mixes={"a": {"phash": 2.0}})
    assert (alone.by, alone.measures["mAP"]) == ("a", found[0].measures["mAP"])
    for weights, error in (({"phash": -1.0}, BadWeights), ({"phash": 0.0}, BadWeights), ({"phish": 1.0}, UnknownName)):
        with pytest.raises(error):
            evaluate_retrieval(generation, labels, mixes={"a": weights})


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_ranking_is_that_of_a_stable_sort(dtype):
    rng = np.random.default_rng(3)
    for _ in range(20):
        distances = rng.integers(-4, 9, 200).astype(dtype) * dtype(0.5 if dtype is np.float32 else 1)
        distances[rng.choice(200, 20)] *= dtype(-1)  # -0.0 equals 0.0
        is_relevant = rng.random(200) < 0.2
        own = int(rng.integers(200))
        is_relevant[own] = True
        order = np.argsort(distances, kind="stable")
        found = retrieval._ranking(distances, is_relevant, own)
        assert np.array_equal(found, is_relevant[order[order != own]])


def test_number_of_queries_is_limited_with_a_fixed_sample(generation):
    labels = folder_labels(generation)
    few = evaluate_retrieval(generation, labels, queries=6)
    assert few[0].measures["mAP"].n == 6
    assert evaluate_retrieval(generation, labels, queries=6) == few
    assert evaluate_retrieval(generation, labels)[0].measures["mAP"].n == 14


# -- labels -------------------------------------------------------------------------------------------------


def test_folders_are_labels_and_a_single_image_is_not_a_query(generation):
    labels = folder_labels(generation)
    assert labels.groups.tolist() == [0] * 9 + [1] * 5 + [2]
    assert labels.queries.tolist() == list(range(14))


def test_a_single_folder_is_refused(large_lake):
    with pytest.raises(QueryError, match=r"1 different labels; two or more .* --labels .* --copies"):
        folder_labels(open_generation(large_lake))


def written(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def test_labels_accept_all_forms_of_paths_and_omit_unlisted_images(lake, generation, tmp_path):
    sources = lake.settings().sources
    absolute = sources["photos"] / "city/10.jpg"
    file = written(
        tmp_path / "a.csv", "label,path,by", "sun,beach/00.jpg,me", "sun,photos/city/09.jpg,me", f"rain,{absolute},me",
        "rain,beach/02.jpg,", "rain,beach/02.jpg,",
    )  # fmt: skip
    labels = csv_labels(generation, file, sources)
    assert labels.groups[[0, 9, 10, 2]].tolist() == [0, 0, 1, 1]
    assert (labels.groups >= 0).sum() == 4 and labels.queries.tolist() == [0, 2, 9, 10]
    (found,) = evaluate_retrieval(generation, labels, by=["rgb_histogram"], k=1)
    vectors = np.sqrt(np.asarray(generation.matrix("rgb_histogram"), float)[[0, 2, 9, 10]])
    distances = cdist(vectors, vectors) + 9 * np.eye(4)
    partner = [2, 3, 0, 1]
    assert found.measures["P@1"].value == np.mean(distances.argmin(axis=1) == partner)


def test_unknown_files_are_counted_and_five_are_named(generation, tmp_path):
    file = written(tmp_path / "a.csv", "path,label", "beach/00.jpg,a", *[f"no/{i}.jpg,b" for i in range(7)])
    with pytest.raises(QueryError, match=r"names 7 files that are not in the lake, the first five: no/0.*no/4.jpg$"):
        csv_labels(generation, file, {})


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        (("file,label", "a,b"), "has no column path; its columns are file, label"),
        ((), "has no column label and path; its columns are none"),
        (("path,label", "beach/00.jpg,"), "line 2: path or label is empty"),
        (("path,label", "beach/00.jpg"), "line 2: path or label is empty"),
        (("path,label", "beach/00.jpg,a", "beach/00.jpg,b"), "beach/00.jpg is labelled 'a' and 'b'; keep one"),
        (("path,label", "beach/00.jpg,a", "beach/01.jpg,a"), "1 different labels"),
        (("path,label", "beach/00.jpg,a", "beach/01.jpg,b"), "no two images have the same label"),
    ],
)
def test_invalid_labels_are_refused(generation, tmp_path, lines, complaint):
    with pytest.raises(QueryError, match=complaint):
        csv_labels(generation, written(tmp_path / "a.csv", *lines), {})


def test_unreadable_file_is_refused(generation, tmp_path):
    with pytest.raises(QueryError, match="cannot be read as CSV"):
        csv_labels(generation, tmp_path / "none.csv", {})
    (tmp_path / "b.csv").write_bytes(b"path,label\n\xff\xfe,a\n")
    with pytest.raises(QueryError, match="cannot be read as CSV"):
        csv_labels(generation, tmp_path / "b.csv", {})


def test_path_of_two_sources_is_ambiguous(new_lake, tmp_path):
    for source in ("a", "b"):
        toy.write_photos(tmp_path / source, range(2))
    lake = new_lake(0, ("phash",), built=False, sources={"a": tmp_path / "a", "b": tmp_path / "b"})
    toy.build(lake)
    generation = open_generation(lake)
    with pytest.raises(QueryError, match=r"photo_000.jpg is in several sources; write it as SOURCE/photo_000.jpg"):
        csv_labels(generation, written(tmp_path / "a.csv", "path,label", "photo_000.jpg,x"), {})
    assert folder_labels(generation).groups.tolist() == [0, 0, 1, 1]  # no folder: the source


def test_holidays_are_groups_of_100_with_the_first_as_query(tmp_path):
    names = ["100000.jpg", "100001.jpg", "100002.jpg", "100100.jpg", "100101.jpg", "100200.jpg", "notes.jpg"]
    labels = named_labels(open_generation(made(tmp_path, names)), "holidays")
    assert labels.groups.tolist() == [0, 0, 0, 1, 1, 2, -1]
    assert labels.queries.tolist() == [0, 3]


def test_ukbench_is_groups_of_four_with_all_as_queries(tmp_path):
    names = [f"ukbench{i:05d}.jpg" for i in range(12)]
    generation = open_generation(made(tmp_path, names))
    labels = named_labels(generation, "ukbench")
    assert labels.groups.tolist() == [0] * 4 + [1] * 4 + [2] * 4 and len(labels.queries) == 12
    (found,) = evaluate_retrieval(generation, labels, by=["rgb_histogram"])
    vectors = np.sqrt(np.asarray(generation.matrix("rgb_histogram"), float))
    nearest = cdist(vectors, vectors).argsort(axis=1)[:, :4]
    expected = np.mean([(nearest[i] // 4 == i // 4).sum() for i in range(12)])
    assert found.measures["N-S"].value == pytest.approx(expected)
    assert 1 < expected < 4


def test_other_file_names_are_refused(generation):
    with pytest.raises(QueryError, match="names as in holidays: 0 different labels"):
        named_labels(generation, "holidays")
    with pytest.raises(UnknownName, match="no naming named 'hollidays'; did you mean 'holidays'"):
        named_labels(generation, "hollidays")


# -- the command --------------------------------------------------------------------------------------------


def test_command_prints_a_table_and_json_and_draws(imrec, lake, tmp_path):
    said = imrec("evaluate", "--plot", "curves.png", "--lake", lake.root)
    heading, *rows, last = said.out.splitlines()
    assert heading.split() == ["P@5", "R@5", "mAP", "nDCG"]
    assert [row.split()[0] for row in rows] == ["rgb_histogram", "phash", MIX]
    assert last == "means over 14 queries, with bootstrap intervals of 95 %"
    assert "0 of 14 queries over 15 images" in said.err
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.width > 300
    assert imrec("evaluate", "--plot", "curves.svg", "--lake", lake.root).status == 0
    assert "phash</text>" in (tmp_path / "curves.svg").read_text()
    toy.set_to(lake, mixes={"both": {"rgb_histogram": 0.5, "phash": 0.5}})
    mixed = imrec("evaluate", "--by", "phash", "--by", "mix:both", "--lake", lake.root)
    assert [row.split()[0] for row in mixed.out.splitlines()[1:-1]] == ["phash", "mix:both"]
    assert imrec("evaluate", "--by", "mix:none", "--lake", lake.root).complaint == (
        "imrec: no mix named 'none'; known: default, same_kind, both"
    )
    told = json.loads(imrec("evaluate", "-k", 2, "--queries", 5, "--by", "phash", "--json", "--lake", lake.root).out)
    assert [judged["by"] for judged in told] == ["phash"]
    assert set(told[0]["measures"]) == {"P@2", "R@2", "mAP", "nDCG"}
    assert set(told[0]["measures"]["mAP"]) == {"value", "low", "high", "n"} and told[0]["measures"]["mAP"]["n"] == 5


def test_command_accepts_labels_and_refuses_invalid_ones(imrec, lake, tmp_path):
    written(tmp_path / "a.csv", "path,label", *[f"beach/0{i}.jpg,{i % 2}" for i in range(6)])
    assert "means over 6 queries" in imrec("evaluate", "--labels", "a.csv", "--lake", lake.root).out
    assert imrec("evaluate", "--labels", "b.csv", "--lake", lake.root).status == 1
    assert imrec("evaluate", "--naming", "ukbench", "--lake", lake.root).status == 1
    wrong = imrec("evaluate", "--labels", "a.csv", "--naming", "ukbench", "--lake", lake.root)
    assert wrong.status == 2 and "give one of --labels, --naming" in wrong.err
    assert "plots are written as .png or .svg" in imrec("evaluate", "--plot", "a.pdf", "--lake", lake.root).complaint
    unwritable = imrec("evaluate", "--plot", "no/such/folder.png", "--lake", lake.root)
    assert unwritable.status == 2 and "cannot write" in unwritable.err
