"""The autoencoder: what it keeps, what it leaves alone, and a search that goes on where it was left."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import numpy as np
import pytest

from imrec_core.errors import DeclarationError, MissingDependency
from imrec_core.features.reduction import METHODS, autoencoder, autoencoder_search, autoencoder_training
from imrec_core.features.reduction.autoencoder import fit_autoencoder, project
from imrec_core.features.reduction.autoencoder_search import search
from imrec_core.features.reduction.autoencoder_training import Choice
from imrec_core.features.reduction.neighbours import nearest, share_kept

WIDTH = 40


def grouped(count: int, seed: int = 0) -> np.ndarray:
    """Rows in forty groups, more than two axes can tell apart."""
    centres = np.random.default_rng(7).normal(size=(40, WIDTH))
    rng = np.random.default_rng(seed)
    return (centres[rng.integers(0, 40, count)] + rng.normal(size=(count, WIDTH)) * 0.3).astype(np.float16)


def fit(vectors, folder, dims=4, **params):
    blocks = [lambda i=i: vectors[i : i + 100] for i in range(0, len(vectors), 100)]
    return fit_autoencoder(blocks, dims=dims, folder=folder, **{"trials": 0, "epochs": 4, **params})


def kept(vectors, projected) -> float:
    rows, own = vectors.astype(np.float32), np.arange(0, len(vectors), 3)
    return share_kept(nearest(rows[own], rows, 10, own=own), nearest(projected[own], projected, 10, own=own))


# -- what it learns -----------------------------------------------------------------------------------------


def test_new_rows_keep_more_neighbours_than_by_principal_axes_or_at_random(tmp_path):
    vectors, unseen = grouped(700), grouped(400, seed=1)
    arrays, facts = fit(vectors, tmp_path, dims=2, epochs=8)
    axes, _ = METHODS["pca"].fit([lambda: vectors], dims=2, folder=tmp_path)
    random = unseen.astype(np.float32) @ np.random.default_rng(0).normal(size=(WIDTH, 2))
    ours = kept(unseen, project(unseen, arrays))
    linear = kept(unseen, METHODS["pca"].project(unseen, axes))
    assert ours > linear + 0.05 > kept(unseen, random) + 0.1  # measured: .59, .45, .25
    assert facts["neighbours_kept"] > facts["neighbours_kept_untrained"] + 0.05


@pytest.mark.parametrize("missed", [0.02, 1.0])
def test_where_training_does_not_help_it_is_the_principal_axes(missed, tmp_path, monkeypatch):
    vectors = grouped(300)
    monkeypatch.setattr(
        autoencoder_training, "_measure_kept", lambda task, layers, linear: float(not layers[-1][0].any())
    )
    monkeypatch.setattr(autoencoder, "_MAX_HELD_OUT_SHARE", missed)
    arrays, _ = fit(vectors, tmp_path)
    held_out = np.random.default_rng(0).permutation(300)[:60] if missed == 1 else []
    axes, _ = METHODS["pca"].fit([lambda: np.delete(vectors, held_out, axis=0)], dims=4, folder=tmp_path)
    ours, plain = project(vectors, arrays), METHODS["pca"].project(vectors, axes)
    np.testing.assert_allclose(ours - ours.mean(axis=0), plain - plain.mean(axis=0), atol=1e-3)


def test_held_out_rows_of_few_are_learnt_from_in_the_end(tmp_path, monkeypatch):
    seen = []
    train = autoencoder_training.train_on_all
    monkeypatch.setattr(
        autoencoder, "train_on_all", lambda rows, *a, **k: seen.append((len(rows), k)) or train(rows, *a, **k)
    )
    facts = fit(grouped(300), tmp_path)[1]
    best = int(np.argmax([facts["neighbours_kept_untrained"], *facts["curves"]["neighbours kept"]["y"]]))
    assert seen == [(300, {"epochs": 4, "last": best, "seed": 0})] and best > 0
    monkeypatch.setattr(autoencoder, "_HELD_OUT", 5)
    fit(grouped(300), tmp_path)
    assert len(seen) == 1


def test_projection_in_numpy_is_that_of_torch(tmp_path):
    import torch

    vectors = grouped(600)
    arrays, _ = fit(vectors, tmp_path)
    rows = torch.from_numpy((vectors.astype(np.float32) - arrays["mean"]) / arrays["scale"])
    net = torch.nn.Sequential(
        torch.nn.Linear(WIDTH, len(arrays["bias_0"])), torch.nn.ReLU(), torch.nn.Linear(len(arrays["bias_0"]), 4)
    )
    state = {"0.weight": "weight_0", "0.bias": "bias_0", "2.weight": "weight_1", "2.bias": "bias_1"}
    net.load_state_dict({name: torch.from_numpy(arrays[array]) for name, array in state.items()})
    with torch.no_grad():
        expected = (net(rows) + rows @ torch.from_numpy(arrays["linear"]).T) * float(arrays["scale"])
    np.testing.assert_allclose(project(vectors, arrays), expected.numpy(), atol=1e-4)
    assert arrays["weight_1"].any()


def test_distances_come_out_in_their_old_units(tmp_path):
    vectors = grouped(400) * np.float16(20)
    projected = project(vectors, fit(vectors, tmp_path)[0])
    before, after = vectors.astype(np.float32).std(axis=0), projected.std(axis=0)
    assert 0.6 < np.linalg.norm(after) / np.linalg.norm(before) < 1.2


def test_constant_columns_and_equal_rows_do_no_harm(tmp_path):
    vectors = grouped(120)
    vectors[:, :20] = 3
    assert np.isfinite(project(vectors, fit(vectors, tmp_path)[0])).all()
    equal = np.repeat(grouped(1), 50, axis=0)
    assert np.abs(project(equal, fit(equal, tmp_path)[0])).max() < 0.1


def test_more_rows_than_the_sample_are_not_trained_on(tmp_path):
    facts = fit(grouped(300), tmp_path, max_rows=100)[1]
    assert (facts["rows"], facts["sampled"]) == (300, 100)


def test_batches_cover_the_rows_evenly():
    chosen = autoencoder_training._batches(10, 4, 5, np.random.default_rng(0))
    assert chosen.shape == (5, 4)
    assert np.bincount(chosen.ravel(), minlength=10).max() <= 3
    assert all(len(set(batch)) == 4 for batch in chosen)


def test_nothing_to_train_with_is_an_error(tmp_path):
    for params in ({"epochs": 0}, {"max_rows": 19}):
        with pytest.raises(DeclarationError, match="expected at least 1 and 20"):
            fit(grouped(60), tmp_path, **params)


# -- chance -------------------------------------------------------------------------------------------------


def test_same_seed_gives_the_same_numbers_and_leaves_the_others_alone(tmp_path):
    import torch

    vectors = grouped(600)
    state, numpy_state = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    one, two = fit(vectors, tmp_path)[0], fit(vectors, tmp_path)[0]
    assert torch.equal(state, torch.random.get_rng_state())
    np.testing.assert_array_equal(numpy_state, np.random.get_state()[1])
    other = fit(vectors, tmp_path, seed=1)[0]
    for name in one:
        np.testing.assert_allclose(one[name], two[name], atol=1e-6)
    assert not np.allclose(one["weight_0"], other["weight_0"], atol=1e-3)


def test_number_of_threads_is_what_it_was(tmp_path):
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    fit(grouped(60), tmp_path, epochs=1)
    during = torch.get_num_threads()
    torch.set_num_threads(before)
    assert during == 3


# -- the search ---------------------------------------------------------------------------------------------


def value_of(choice: Choice) -> float:
    """Highest in the middle of what there is to choose."""
    return 1 - abs(choice.noise - 0.25) - abs(np.log10(choice.learning_rate) + 2.5) / 2


class Attempts:
    """Stands in for training: counts, and breaks off when requested."""

    def __init__(self, fails_at: int = 10**6) -> None:
        self.choices: list[Choice] = []
        self.fails_at = fails_at

    def __call__(self, choice, go_on):
        self.choices.append(choice)
        go_on(0, value_of(choice))
        if len(self.choices) == self.fails_at:
            raise KeyboardInterrupt
        return value_of(choice)


def test_fit_notes_its_trials_and_a_second_one_adds_none(tmp_path):
    vectors = grouped(120)
    arrays, facts = fit(vectors, tmp_path, trials=2, epochs=3)
    again, same = fit(vectors, tmp_path, trials=2, epochs=3)
    more = fit(vectors, tmp_path, trials=3, epochs=3)[1]
    assert [(f["trials"], f["trials_added"]) for f in (facts, same, more)] == [(2, 2), (2, 0), (3, 1)]
    assert facts["choice"] == same["choice"]
    np.testing.assert_allclose(arrays["linear"], again["linear"], atol=1e-6)
    assert len(facts["curves"]["best trial so far"]["y"]) == 2
    assert len(facts["curves"]["training loss"]["y"]) == len(facts["curves"]["validation loss"]["y"]) == 3
    assert len(list(tmp_path.glob("autoencoder-*.journal"))) == 1


@pytest.mark.parametrize("changed", [{"epochs": 4}, {"seed": 1}, {"dims": 3}, {"max_rows": 100}])
def test_other_settings_are_another_study(changed, tmp_path, monkeypatch):
    monkeypatch.setattr(autoencoder, "train", quick_train)
    vectors = grouped(120)
    fit(vectors, tmp_path, trials=1, epochs=3)
    assert fit(vectors, tmp_path, **{"trials": 1, "epochs": 3, **changed})[1]["trials_added"] == 1


def test_other_rows_are_another_study(tmp_path, monkeypatch):
    monkeypatch.setattr(autoencoder, "train", quick_train)
    for seed in range(2):
        assert fit(grouped(120, seed), tmp_path, trials=1)[1]["trials_added"] == 1
    assert (
        fit(grouped(120), tmp_path, trials=1, seconds=5.0)[1]["trials_added"] == 0
    )  # the time it may take is no matter


def quick_train(task, choice, *, epochs, seed, go_on=lambda epoch, kept: True):
    return autoencoder_training.Trained([], task.axes, kept=[0.1, 0.2], losses=[(1.0, 1.0)])


def test_best_trial_is_chosen_and_is_better_than_the_first(tmp_path):
    attempts = Attempts()
    found = search(tmp_path / "s.journal", attempts, trials=15, seconds=60, seed=0)
    assert attempts.choices[0] == Choice()
    assert found.choice == max(attempts.choices, key=value_of)
    assert found.values[-1] == pytest.approx(value_of(found.choice)) and found.values[-1] > found.values[0] + 0.02
    assert found.values == sorted(found.values) and len(found.values) == found.added == 15
    assert len(set(attempts.choices)) == 15


def states_in(path: Path) -> list[str]:
    from optuna import load_study
    from optuna.storages import JournalStorage, journal

    stored = load_study(study_name=None, storage=JournalStorage(journal.JournalFileBackend(str(path))))
    return [trial.state.name for trial in stored.get_trials()]


def test_interrupted_search_finds_what_it_would_have_found(tmp_path):
    whole, first, second = Attempts(), Attempts(fails_at=4), Attempts()
    expected = search(tmp_path / "whole.journal", whole, trials=7, seconds=60, seed=3)
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path / "broken.journal", first, trials=7, seconds=60, seed=3)
    found = search(tmp_path / "broken.journal", second, trials=7, seconds=60, seed=3)
    assert [*first.choices[:3], *second.choices] == whole.choices
    assert (found.choice, found.values, found.added) == (expected.choice, expected.values, 4)
    assert states_in(tmp_path / "broken.journal") == [*["COMPLETE"] * 3, "FAIL", *["COMPLETE"] * 4]


def test_interruption_of_the_first_trial_keeps_the_usual_choice(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path / "s.journal", Attempts(fails_at=1), trials=2, seconds=60, seed=3)
    second = Attempts()
    search(tmp_path / "s.journal", second, trials=2, seconds=60, seed=3)
    assert second.choices[0] == Choice()


def test_half_written_line_is_cut_off(tmp_path):
    path = tmp_path / "s.journal"
    search(path, Attempts(), trials=2, seconds=60, seed=0)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"op_code":4,"wor')
    assert search(path, Attempts(), trials=3, seconds=60, seed=0).added == 1
    assert path.read_bytes().startswith(whole) and b'"wor\n' not in path.read_bytes()
    assert search(path, Attempts(), trials=3, seconds=60, seed=0).added == 0


def test_search_ends_when_its_time_is_up_but_not_without_a_trial(tmp_path):
    found = search(tmp_path / "s.journal", Attempts(), trials=50, seconds=0, seed=0)
    assert (len(found.values), found.choice) == (1, Choice())


def test_trial_that_the_end_cuts_off_is_not_counted(tmp_path, monkeypatch):
    now = 0.0
    monkeypatch.setattr(autoencoder_search.time, "monotonic", lambda: now)

    def attempt(choice, go_on):
        nonlocal now
        now += 6
        go_on(0, value_of(choice))
        return value_of(choice)

    found = search(tmp_path / "s.journal", attempt, trials=5, seconds=10, seed=0)
    assert len(found.values) == 1
    now = 0.0
    assert search(tmp_path / "s.journal", attempt, trials=5, seconds=10, seed=0).added == 1


def test_hopeless_trials_are_stopped_and_never_chosen(tmp_path):
    lengths = []

    def attempt(choice, go_on):
        good = len(lengths) < 5
        for epoch in range(9):
            if not go_on(epoch, 0.8 if good else 0.1):
                break
        lengths.append(epoch + 1)
        return 0.8 if good else 0.1

    found = search(tmp_path / "s.journal", attempt, trials=7, seconds=60, seed=0)
    assert lengths[:5] == [9] * 5 and max(lengths[5:]) < 9
    assert found.values == [0.8] * 7


# -- a grid -------------------------------------------------------------------------------------------------

GRID = {"noise": [0.0, 0.3, 0.2], "width": [64, 100]}
COMBINATIONS = [Choice(noise=n, width=w) for n in GRID["noise"] for w in GRID["width"]]


def test_grid_is_tried_in_all_combinations_and_the_best_is_chosen(tmp_path):
    attempts = Attempts()
    found = search(tmp_path / "s.journal", attempts, trials=2, seconds=60, seed=0, grid=GRID)
    assert attempts.choices == COMBINATIONS
    assert found.choice.noise in (0.2, 0.3) and found.choice.learning_rate == Choice().learning_rate
    assert found.added == len(found.values) == 6
    assert search(tmp_path / "s.journal", Attempts(), trials=9, seconds=60, seed=1, grid=GRID).added == 0


@pytest.mark.parametrize("fails_at", [1, 4])
def test_interrupted_grid_goes_on_with_what_is_left(tmp_path, fails_at):
    first, second = Attempts(fails_at=fails_at), Attempts()
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path / "s.journal", first, trials=0, seconds=60, seed=0, grid=GRID)
    search(tmp_path / "s.journal", second, trials=0, seconds=60, seed=0, grid=GRID)
    assert [*first.choices[: fails_at - 1], *second.choices] == COMBINATIONS


def test_combination_that_was_requested_and_never_begun_is_lost_to_none(tmp_path):
    import optuna

    path = tmp_path / "s.journal"
    with autoencoder_search._quiet_optuna():
        autoencoder_search._open_study(optuna, path).enqueue_trial(
            {"noise": 0.0, "width": 64}
        )  # then the process is killed
    attempts = Attempts()
    search(path, attempts, trials=0, seconds=60, seed=0, grid=GRID)
    assert list(dict.fromkeys(attempts.choices)) == COMBINATIONS


def test_values_that_stand_twice_are_tried_once(tmp_path):
    attempts = Attempts()
    search(tmp_path / "s.journal", attempts, trials=0, seconds=60, seed=0, grid={"layers": [1, 2, 1]})
    assert attempts.choices == [Choice(layers=1), Choice(layers=2)]


def test_fit_by_a_grid_has_a_study_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(autoencoder, "train", quick_train)
    vectors = grouped(120)
    for grid, added in ((None, 1), ({"width": [8, 16]}, 2), ({"width": [8]}, 1), ({"width": [8, 16]}, 0)):
        assert fit(vectors, tmp_path, trials=1, grid=grid)[1]["trials_added"] == added


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"grid": {}}, "grid is {}; expected lists of values to try"),
        ({"grid": [1]}, "grid is"),
        ({"grid": {"widht": [8]}}, "no hyperparameter named 'widht'; did you mean 'width'"),
        ({"grid": {"width": 8}}, "grid: width is 8; expected a list of whole numbers, 1 or more"),
        ({"grid": {"width": []}}, "grid: width is []"),
        ({"grid": {"layers": [0]}}, "expected a list of whole numbers, 1 or more"),
        ({"grid": {"width": [8.5]}}, "expected a list of whole numbers, 1 or more"),
        ({"grid": {"width": [True]}}, "expected a list of whole numbers, 1 or more"),
        ({"grid": {"temperature": [0]}}, "expected a list of numbers above 0"),
        ({"grid": {"learning_rate": [float("nan")]}}, "expected a list of numbers above 0"),
        ({"grid": {"noise": [-0.1]}}, "expected a list of numbers, 0 or more"),
        ({"grid": {"noise": [0]}, "trials": 3}, "a grid tries all its combinations; leave out trials"),
    ],
)
def test_grid_that_cannot_be_is_refused(given, message):
    with pytest.raises(DeclarationError) as caught:
        METHODS["autoencoder"].settings(given)
    assert message in str(caught.value)
    with pytest.raises(DeclarationError, match="no setting of pca named 'grid'"):
        METHODS["pca"].settings({"grid": {"noise": [0]}})


def test_missing_optuna_is_reported(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingDependency, match=r"optuna is not installed.*'imrec\[tuning\]'"):
        fit(grouped(60), tmp_path, trials=1)
    assert fit(grouped(60), tmp_path, trials=0, epochs=1)[1]["trials"] == 0


def test_optuna_speaks_as_loud_as_before(tmp_path):
    import optuna

    optuna.logging.set_verbosity(optuna.logging.DEBUG)
    search(tmp_path / "s.journal", Attempts(), trials=1, seconds=60, seed=0)
    assert optuna.logging.get_verbosity() == optuna.logging.DEBUG
    optuna.logging.set_verbosity(optuna.logging.INFO)


def test_lock_of_a_killed_process_is_taken_over(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    search(Path("s.journal"), Attempts(), trials=1, seconds=60, seed=0)
    Path("s.journal.lock").touch()
    monkeypatch.setattr(autoencoder_search.time, "monotonic", itertools.count(0, 20).__next__)
    monkeypatch.setattr(autoencoder_search.time, "sleep", lambda seconds: None)
    assert search(Path("s.journal"), Attempts(), trials=2, seconds=1e6, seed=0).added == 1
    assert not Path("s.journal.lock").exists()
