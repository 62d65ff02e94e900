"""Comparison of projections: shares are those of an exact search."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from imrec_core.errors import DeclarationError, QueryError, UnknownName
from imrec_core.evaluation.projection_quality import compare_in, compare_projections
from imrec_core.features.reduction import METHODS, autoencoder, autoencoder_training
from imrec_core.index.opening import open_generation
from imrec_dagster.cli.evaluate import MODES
from imrec_dagster.cli.main import imrec

FAST = ("pca", "whitened_pca", "kernel_pca")


def rows(count: int = 400, width: int = 32) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.normal(size=(count, width)) / np.arange(1, width + 1)).astype(np.float32)


def test_shares_are_those_of_a_plain_scan():
    vectors = rows()
    (found,) = compare_projections(vectors, dims=(2,), methods=("pca",), queries=400)
    new = np.random.default_rng(0).permutation(400)[:80]
    learnt = np.delete(vectors, new, axis=0)
    arrays, _ = METHODS["pca"].fit([lambda: learnt], dims=2, folder=None)

    def near(queries, count, *, itself):
        distances = np.linalg.norm(queries[0][:, None].astype(float) - queries[1], axis=2)
        if itself:
            np.fill_diagonal(distances, np.inf)
        return distances.argsort(axis=1)[:, :count]

    for asked, shares in ((learnt, (found.kept, found.found)), (vectors[new], (found.kept_of_new, found.found_of_new))):
        pair, itself = (asked, learnt), asked is learnt
        truth = near(pair, 10, itself=itself)
        small = [METHODS["pca"].project(some, arrays) for some in pair]
        for share, count in zip(shares, (10, 100), strict=True):
            got = near(small, count, itself=itself)
            assert share == pytest.approx(np.mean([len(set(a) & set(b)) / 10 for a, b in zip(truth, got)]), abs=1e-3)
        assert 0 < shares[0] < shares[1] < 1
    assert (found.method, found.dims, found.bytes_per_image) == ("pca", 2, 8) and found.seconds > 0


def test_overfitting_shows_in_the_scores():
    noise = np.random.default_rng(0).normal(size=(300, 40)).astype(np.float32)
    params = {"autoencoder": {"trials": 0, "epochs": 30}}
    (found,) = compare_projections(noise, dims=(8,), methods=("autoencoder",), params=params)
    assert found.kept > found.kept_of_new + 0.1


@pytest.mark.parametrize("count", [12, 13, 20, 60])
def test_few_rows_are_enough(count):
    (found,) = compare_projections(rows(count), dims=(4,), methods=("pca",))
    assert 0 < found.kept_of_new <= 1 and 0 < found.kept <= 1


def test_full_dimensions_keep_all_neighbours():
    (found,) = compare_projections(rows(), dims=(32,), methods=("pca",))
    assert min(found.kept, found.kept_of_new) > 0.999 and found.found == found.found_of_new == 1


def test_more_dimensions_keep_more_neighbours():
    found = compare_projections(rows(), dims=(4, 16), methods=FAST)
    assert [(f.method, f.dims) for f in found] == [(name, dims) for name in FAST for dims in (4, 16)]
    kept = [f.kept for f in found if f.method == "pca"]
    assert kept[0] < kept[1]


def test_autoencoder_uses_its_settings():
    found = compare_projections(rows(), dims=(4,), params={"autoencoder": {"trials": 0, "epochs": 2}})
    assert [f.method for f in found] == list(METHODS)


def test_method_without_its_library_is_skipped_with_a_warning(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "optuna", None)
    found = compare_projections(rows(60), dims=(4, 8), methods=("autoencoder", "pca"))
    assert [(f.method, f.dims) for f in found] == [("pca", 4), ("pca", 8)]
    assert caplog.messages == [
        "skipping autoencoder: optuna is not installed; install it with: pip install 'imrec[tuning]'"
    ]


def test_invalid_comparison_is_refused():
    with pytest.raises(QueryError, match="11 images are too few"):
        compare_projections(rows(11))
    with pytest.raises(DeclarationError, match="pca cannot reduce vectors of 32 dims to 33"):
        compare_projections(rows(50), dims=(33,))
    with pytest.raises(UnknownName, match="no reduction method named 'pcs'"):
        compare_projections(rows(50), methods=("pcs",))


def test_large_galleries_are_sampled(monkeypatch):
    monkeypatch.setattr("imrec_core.evaluation.projection_quality.MAX_ROWS", 90)
    lines = []
    compare_projections(rows(), dims=(4,), methods=("pca",), progress=lines.append)
    assert lines == ["fitting pca on 72 rows, 4 dimensions"]


# -- of a lake ----------------------------------------------------------------------------------------------


@pytest.fixture
def short_training(monkeypatch):
    monkeypatch.setattr(autoencoder, "train", lambda *a, **k: autoencoder_training.train(*a, **{**k, "epochs": 1}))
    monkeypatch.setattr(autoencoder_training, "_MIN_STEPS", 1)


def test_default_is_the_first_feature_and_hashes_are_refused(large_lake, short_training):
    generation = open_generation(large_lake)
    quick = compare_in(generation, dims=(8,), trials=0)
    assert [f.method for f in quick] == list(METHODS)
    with pytest.raises(DeclarationError, match="phash is a binary hash"):
        compare_in(generation, "phash")
    with pytest.raises(UnknownName, match="no feature named 'phish'"):
        compare_in(generation, "phish")


def test_sizes_are_smaller_than_the_feature(large_lake, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "imrec_core.evaluation.projection_quality.compare_projections",
        lambda *a, dims, **k: asked.append(list(dims)) or [],
    )
    generation = open_generation(large_lake)
    compare_in(generation)
    monkeypatch.setattr("imrec_core.evaluation.projection_quality.DIMS", (600, 700))
    compare_in(generation)
    compare_in(generation, dims=(3,))
    assert asked == [[32, 64, 128], [256], [3]]


def run(*arguments: str):
    return CliRunner().invoke(imrec, ["evaluate", *arguments])


def test_command_prints_one_table(large_lake, short_training):
    result = run("--projections", "--dims", "4,8", "--trials", "0", "--lake", str(large_lake.root))
    lines = result.stdout.splitlines()
    assert result.exit_code == 0, result.output
    heading = "method dims 10 nearest kept among 100 of new new among 100 bytes seconds"
    assert " ".join(lines[0].split()) == heading
    assert [line.split()[:2] for line in lines[1:]] == [[name, dims] for name in METHODS for dims in ("4", "8")]
    assert "fitting pca on 560 rows, 4 dimensions" in result.stderr


def test_command_prints_json(large_lake, short_training):
    result = run("--projections", "--dims", "4", "--trials", "0", "--json", "--lake", str(large_lake.root))
    found = json.loads(result.stdout)
    assert [row["method"] for row in found] == list(METHODS)
    assert found[0]["bytes_per_image"] == 16 and 0 < found[0]["kept"] <= found[0]["found"] <= 1


def test_command_takes_the_number_of_queries(large_lake, monkeypatch):
    from imrec_core.evaluation import projection_quality

    asked = []
    compare = projection_quality.compare_projections
    monkeypatch.setattr(
        projection_quality,
        "compare_projections",
        lambda *a, **how: (asked.append(how["queries"]), compare(*a, **how, methods=("pca",)))[1],
    )
    for options in ((), ("--queries", "7")):
        assert run("--projections", "--dims", "4", *options, "--lake", str(large_lake.root)).exit_code == 0
    assert asked == [500, 7]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--projections", "--dims", "a"),
        ("--projections", "--trials", "-1"),
        ("--projections", "--by", "phash", "--by", "rgb_histogram"),
        ("--projections", "--naming", "ukbench"),
        ("--dims", "8"),
        ("--copies", "--trials", "0"),
    ],
)
def test_wrong_usage_is_refused(arguments, large_lake):
    assert run(*arguments, "--lake", str(large_lake.root)).exit_code == 2


SELECTED = {"labels": [], "copies": ["--copies"], "pairs": ["--pairs", "a.csv"]} | {
    name: [f"--{name}"] for name in ("index", "projections")
}
OPTIONS = {"fusion": [], "by": ["phash"], "queries": ["5"], "plot": ["a.bmp"], "dims": ["8"], "trials": ["0"]}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("option", OPTIONS)
def test_mode_refuses_an_option_that_it_does_not_take_before_the_lake_is_opened(mode, option, tmp_path):
    taken = {taker for taker in MODES if option in MODES[taker]}
    asked = run(*SELECTED[mode], f"--{option}", *OPTIONS[option], "--lake", str(tmp_path / "none"))
    assert (asked.exit_code == 2) == (mode not in taken)
    assert taken and (mode in taken or f"--{option}" in asked.output)
