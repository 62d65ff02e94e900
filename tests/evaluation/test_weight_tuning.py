"""Weight tuning: scores are those of plain loops, and held-out queries do not leak."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from imrec_core.errors import BadSettings, QueryError, UnknownName
from imrec_core.evaluation import tuning_tasks, weight_tuning
from imrec_core.evaluation.labels import Labels, folder_labels
from imrec_core.evaluation.tuning_tasks import TuningTask, copies_task, labelled_task
from imrec_core.evaluation.weight_tuning import measure_queries, save_mix, tune_weights
from imrec_core.features import FEATURES
from imrec_core.images.edits import COPY_PROTOCOL
from imrec_core.index.opening import open_generation
from imrec_core.search import fusion
from imrec_core.search.feature_weights import mix_weights
from tests.support import toy

FEW = {name: COPY_PROTOCOL[name] for name in ("jpeg10", "brighter", "mirrored")}


def task(strengths: dict[str, list[float]], queries: int = 120, rows: int = 60, seed: int = 0) -> TuningTask:
    """Queries with three relevant rows; each feature raises their scores by its strength, one per half of them."""
    rng = np.random.default_rng(seed)
    scores = rng.random((len(strengths), queries, rows)).astype(np.float32) * 0.5
    relevant = [np.sort(rng.permutation(rows)[:3]) for _ in range(queries)]
    for i, lifts in enumerate(strengths.values()):
        for query, columns in enumerate(relevant):
            scores[i, query, columns] += lifts[query * len(lifts) // queries]
    return TuningTask(tuple(strengths), scores, relevant, np.arange(queries))


# -- measuring ----------------------------------------------------------------------------------------------


def test_average_precision_is_that_of_scikit_learn():
    rng = np.random.default_rng(1)
    fused = rng.integers(0, 9, (30, 40)).astype(np.float32)  # many are equal
    relevant = [np.sort(rng.permutation(40)[: rng.integers(1, 6)]) for _ in range(30)]
    expected = [average_precision_score(np.isin(np.arange(40), c), row) for row, c in zip(fused, relevant)]
    assert measure_queries(fused, relevant, "map") == pytest.approx(np.array(expected))


@pytest.mark.parametrize(("measure", "k"), [("precision", 5), ("recall1", 1)])
def test_precision_is_the_mean_over_orders_of_equal_scores(measure, k):
    rng = np.random.default_rng(2)
    fused = rng.integers(0, 4, (6, 12)).astype(np.float32)
    relevant = [np.sort(rng.permutation(12)[:4]) for _ in range(6)]
    for row, columns, found in zip(fused, relevant, measure_queries(fused, relevant, measure), strict=True):
        orders = [np.lexsort((rng.random(12), -row))[:k] for _ in range(3000)]
        assert found == pytest.approx(np.isin(orders, columns).mean(), abs=0.02)


def test_precision_of_fewer_than_five_rows_counts_missing_ones():
    fused = np.array([[0.3, 0.2, 0.1]], np.float32)
    assert measure_queries(fused, [np.array([0, 1])], "precision").tolist() == [0.4]


# -- tuning -------------------------------------------------------------------------------------------------


def test_complementary_features_are_mixed_and_noise_is_not():
    made = task({"near": [0.35, 0.05], "far": [0.05, 0.35], "noise": [0.0, 0.0]})
    found = tune_weights(made, "map")
    assert set(found.weights) == {"near", "far"} and sum(found.weights.values()) == pytest.approx(1)
    assert found.gain.low > 0
    assert found.held_out.value > max(found.equal.value, found.alone["near"].value, found.alone["far"].value) + 0.05
    assert found.alone["noise"].value < 0.2


def test_best_feature_alone_is_chosen_if_fusion_is_worse():
    found = tune_weights(task({"good": [0.5], "noise": [0.0], "more": [0.0]}), "map")
    assert found.weights.get("good", 0) > 0.9
    assert found.best_other == "good" and found.gain.value <= 0.001
    assert found.equal.value < found.alone["good"].value - 0.1


@pytest.mark.parametrize("measure", weight_tuning.MEASURES)
def test_scores_of_other_weights_are_those_of_plain_fusion(measure):
    made = task({"a": [0.2], "b": [0.3, 0.1]}, queries=30)
    found = tune_weights(made, measure, folds=3)
    assert found.measure == measure
    for values, weights in ((found.alone["a"], [1, 0]), (found.alone["b"], [0, 1]), (found.equal, [1, 1])):
        fused = np.array([fusion.fuse(list(made.scores[:, i].astype(float)), weights) for i in range(30)])
        assert values.value == pytest.approx(measure_queries(fused, made.relevant, measure).mean(), abs=0.002)
    assert {e.n for e in (found.held_out, found.equal, found.gain)} == {30}


def test_coordinate_search_is_as_good_as_a_grid_search():
    made = task({"a": [0.3, 0.0], "b": [0.1, 0.2]}, queries=80)
    found = tune_weights(made, "map", folds=2)
    grid = [(w, 1 - w) for w in np.linspace(0, 1, 21)]
    values = [measure_queries(np.tensordot(np.float32(w), made.scores, 1), made.relevant, "map").mean() for w in grid]
    weights = np.float32([found.weights.get(name, 0) for name in "ab"])
    chosen = measure_queries(np.tensordot(weights, made.scores, 1), made.relevant, "map").mean()
    assert chosen >= max(values) - 0.003 and max(values) > max(values[0], values[-1]) + 0.01


def test_every_query_is_held_out_once_and_copies_of_one_image_together(monkeypatch):
    made = task({"a": [0.3], "b": [0.1]}, queries=40)
    made = TuningTask(made.features, made.scores, made.relevant, np.repeat(np.arange(10) + 100, 4))
    asked = []

    def best(objective, units):
        asked.append(set(units.tolist()))
        return (1.0, 0.0) if len(asked) % 2 else (0.0, 1.0)  # the first fold by a, the second by b, all by a

    monkeypatch.setattr(weight_tuning, "_best", best)
    found = tune_weights(made, "map", folds=2)
    assert asked[2] == set(range(10)) and found.weights == {"a": 1.0}
    assert asked[0] | asked[1] == set(range(10)) and not asked[0] & asked[1]
    alone = [measure_queries(made.scores[i], made.relevant, "map").reshape(10, 4).mean(axis=1) for i in (0, 1)]
    held = [alone[0][sorted(asked[1])], alone[1][sorted(asked[0])]]  # each fold is evaluated with weights of the others
    assert found.held_out.value == pytest.approx(np.concatenate(held).mean())
    assert found.held_out.n == 10


def test_invalid_tuning_is_refused():
    made = task({"a": [0.3], "b": [0.1]}, queries=4)
    with pytest.raises(UnknownName, match="no measure named 'mapp'; did you mean 'map'"):
        tune_weights(made, "mapp")
    with pytest.raises(QueryError, match="4 images cannot be held out in 5 parts"):
        tune_weights(made, "map")
    with pytest.raises(QueryError, match="a alone has nothing to be mixed with"):
        tune_weights(task({"a": [0.3]}), "map")


# -- tasks --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    root = tmp_path_factory.mktemp("tuning")
    for folder in range(3):
        toy.write_photos(root / "photos" / "abc"[folder], range(folder, 24, 4))
    made = toy.new_lake(root / "lake", ("rgb_histogram", "phash"))
    toy.build(made)
    return made


@pytest.fixture
def restored(lake):
    before = lake.settings_path.read_text()
    yield lake
    lake.settings_path.write_text(before)


def test_scores_of_labelled_images_are_those_of_a_search(lake):
    generation = open_generation(lake)
    made = labelled_task(generation, folder_labels(generation))
    assert made.scores.shape == (2, 18, 18) and made.features == ("rgb_histogram", "phash")
    for name, scores in zip(made.features, made.scores):
        matrix, metric = np.asarray(generation.matrix(name)), FEATURES[name].metric
        distances = np.array([metric(vector, matrix) for vector in matrix])
        expected = generation.calibration(name, metric.name).score(distances)
        np.fill_diagonal(expected, -1)
        assert scores == pytest.approx(expected, abs=1e-6)
    folders = np.repeat([0, 1, 2], 6)
    for row, columns in enumerate(made.relevant):
        assert columns.tolist() == [i for i in range(18) if folders[i] == folders[row] and i != row]


def test_large_gallery_is_sampled_with_all_queries(lake, monkeypatch):
    monkeypatch.setattr(tuning_tasks, "_SCORES", 2 * 4 * 9)
    generation = open_generation(lake)
    made = labelled_task(generation, folder_labels(generation), queries=4)
    assert 9 <= made.scores.shape[2] <= 13
    assert (made.scores == -1).sum(axis=2).tolist() == [[1] * len(made.relevant)] * 2
    assert len(made.units) == len(made.relevant) and all(len(columns) for columns in made.relevant)


def test_query_without_relevant_rows_in_the_sample_is_skipped(lake, monkeypatch):
    monkeypatch.setattr(tuning_tasks, "_SCORES", 1)
    generation = open_generation(lake)
    groups = np.array([0] * 2 + [1] * 16)
    made = labelled_task(generation, Labels(groups, np.arange(18)), queries=6)
    assert 0 < len(made.relevant) == made.scores.shape[1] == len(made.units)
    assert all(len(columns) for columns in made.relevant)


def test_originals_are_relevant_to_copies(lake):
    generation = open_generation(lake)
    made = copies_task(lake, generation, photos=5, edits=FEW)
    assert made.scores.shape == (2, 15, 18)
    assert [columns.tolist() for columns in made.relevant] == [[unit] for unit in made.units]
    assert len(set(made.units.tolist())) == 5
    jpegs = made.scores[:, :: len(FEW)]
    assert (jpegs.argmax(axis=2) == made.units[:: len(FEW)]).mean() > 0.7


def test_copies_of_missing_images_are_skipped(new_lake, tmp_path):
    lake = new_lake(6, ("rgb_histogram", "phash"))
    (tmp_path / "photos" / "photo_002.jpg").unlink()
    made = copies_task(lake, open_generation(lake), photos=9, edits=FEW)
    assert made.scores.shape == (2, 15, 6) and made.scores.min() >= 0 and made.scores.max() <= 1
    assert set(made.units.tolist()) == {0, 1, 3, 4, 5}


# -- in lake.toml and on the command line -------------------------------------------------------------------


def test_mix_is_saved_and_read_back(restored):
    save_mix(restored, "look", {"rgb_histogram": 0.7, "phash:hamming_dihedral": 0.3})
    save_mix(restored, "copies", {"phash": 1.0})
    save_mix(restored, "copies", {"rgb_histogram": 1})
    settings = restored.settings()
    assert mix_weights(settings, "look", ()) == {"rgb_histogram": 0.7, "phash:hamming_dihedral": 0.3}
    assert mix_weights(settings, "copies", ()) == {"rgb_histogram": 1.0}
    with pytest.raises(UnknownName, match="no mix named 'lock'; did you mean 'look'"):
        mix_weights(settings, "lock", ())
    assert len(open_generation(restored)) == 18  # a new mix makes no table stale


def test_invalid_mix_is_not_saved(restored):
    before = restored.settings_path.read_text()
    for name, weights in (("a b", {"phash": 1.0}), ("look", {"phish": 1.0}), ("look", {"phash": -1.0})):
        with pytest.raises(BadSettings):
            save_mix(restored, name, weights)
    assert restored.settings_path.read_text() == before


def test_command_tunes_by_folders_and_saves_the_mix(imrec, restored):
    said = imrec("tune", "--measure", "map", "--name", "mine", "--folds", 3, "--lake", restored.root)
    assert said.status == 0
    lines = said.out.splitlines()
    assert lines[0].split() == ["mean", "average", "precision", "weight"]
    assert [line.split()[0] for line in lines[1:5]] == ["mix:mine,", "equal", "rgb_histogram", "phash"]
    assert lines[-1].startswith("gain over ") and lines[-1].endswith("18 images")
    assert "fold 3 of 3: 12 images to learn from, 6 held out" in said.err
    is_saved = "saved in lake.toml; search with: --by mix:mine" in said.err
    assert is_saved != ("not saved: the mix is not significantly better than " in said.err)
    assert ("mine" in restored.settings().mixes) == is_saved


def test_command_tunes_by_copies_and_prints_json(imrec, restored):
    asked = ("--measure", "recall1", "--copies", "--queries", 6, "--folds", 2, "--json", "--lake", restored.root)
    told = json.loads(imrec("tune", *asked).out)
    assert told["name"] == "look" and told["saved"] == ("look" in restored.settings().mixes) == (
        told["gain"]["low"] > 0
    )
    assert told["held_out"]["n"] == 6 and set(told["alone"]) == {"rgb_histogram", "phash"}


@pytest.mark.parametrize("low", [-0.01, 0.0, 0.01])
def test_mix_is_saved_only_if_it_is_better(imrec, restored, monkeypatch, low):
    from dataclasses import replace

    from imrec_core.evaluation import weight_tuning

    tune = weight_tuning.tune_weights

    def tuned(*asked, **how):
        found = tune(*asked, **how)
        return replace(found, gain=replace(found.gain, low=low))

    monkeypatch.setattr(weight_tuning, "tune_weights", tuned)
    said = imrec("tune", "--measure", "map", "--name", "mine", "--folds", 2, "--lake", restored.root)
    assert said.status == 0 and ("saved in lake.toml" in said.err) == (low > 0) == ("mine" in restored.settings().mixes)
    if low > 0:
        assert sum(mix_weights(restored.settings(), "mine", ()).values()) == pytest.approx(1)
    else:
        assert "not saved: the mix is not significantly better than " in said.err


def test_invalid_name_is_refused_before_measuring(imrec, restored, monkeypatch):
    monkeypatch.setattr(
        "imrec_core.evaluation.tuning_tasks.labelled_task", lambda *a, **k: pytest.fail("it was measured")
    )
    refused = imrec("tune", "--measure", "map", "--name", "a b", "--lake", restored.root)
    assert refused.status == 1 and "invalid name 'a b' of a mix" in refused.err


@pytest.mark.parametrize(
    "wrong",
    [
        (),
        ("--measure", "map", "--recall", "0.98"),
        ("--measure", "mapp"),
        ("--measure", "map", "--copies", "--naming", "ukbench"),
        ("--recall", "0.98", "--copies"),
        ("--recall", "0.98", "--by", "phash"),
    ],
)
def test_wrong_usage_is_refused(imrec, lake, wrong):
    assert imrec("tune", *wrong, "--lake", lake.root).status == 2
