"""Hyperparameter search with Optuna, free or over a grid, stored in a file from which it resumes."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imrec_core.errors import DeclarationError, MissingDependency, UnknownName
from imrec_core.features.reduction.autoencoder_training import Choice

if TYPE_CHECKING:
    import optuna

GoOn = Callable[[int, float], bool]
Attempt = Callable[[Choice, GoOn], float]  # trains with a choice, calls `go_on` after each epoch, returns the value

Grid = Mapping[str, Sequence[float]]
"""Values to try, by the name of a hyperparameter in `Choice`."""

_ZERO_ALLOWED = ("weight_decay", "noise", "neighbours")


@dataclass(frozen=True)
class Found:
    """Result of a search.

    Attributes:
        choice: Hyperparameters with the best value.
        values: Best value after each trial, over all runs.
        added: Number of trials in this run.
    """

    choice: Choice
    values: list[float]
    added: int


def check_grid(grid: Any) -> None:
    """Check that a value of `lake.toml` is a valid `Grid`.

    Raises:
        UnknownName: A hyperparameter does not exist.
        DeclarationError: The grid is empty, or a value is invalid.
    """
    kinds = {field.name: type(field.default) for field in fields(Choice)}
    if not isinstance(grid, Mapping) or not grid:
        raise DeclarationError(f"grid is {grid!r}; expected lists of values to try, such as {{width = [256, 512]}}")
    for name, values in grid.items():
        if name not in kinds:
            raise UnknownName("hyperparameter", name, kinds)
        if not isinstance(values, list) or not values or not all(_is_valid(name, kinds[name], v) for v in values):
            expected = "whole numbers, 1 or more" if kinds[name] is int else "numbers above 0"
            expected = "numbers, 0 or more" if name in _ZERO_ALLOWED else expected
            raise DeclarationError(f"grid: {name} is {values!r}; expected a list of {expected}")


def _is_valid(name: str, kind: type, value: Any) -> bool:
    fits = type(value) in ((int,) if kind is int else (int, float))
    return fits and value < float("inf") and (value > 0 or (value == 0 and name in _ZERO_ALLOWED))


def choices(grid: Grid) -> list[dict[str, float]]:
    """List all combinations of the values; the last hyperparameter varies fastest."""
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*map(dict.fromkeys, grid.values()))]


def search(path: Path, attempt: Attempt, *, trials: int, seconds: float, seed: int, grid: Grid | None = None) -> Found:
    """Run trials until the file has `trials` of them, or until the time is up.

    At least one trial is run. With a grid, the search tries all its combinations, with defaults for the other
    hyperparameters. A trial depends only on the seed and on earlier trials, so an interrupted search has the same
    result when it resumes. It repeats the interrupted trial.

    Args:
        path: File of the search.
        attempt: Trains with a choice and returns its value; larger is better.

    Raises:
        MissingDependency: Optuna is not installed.
    """
    deadline = time.monotonic() + seconds
    with _quiet_optuna() as optuna:
        study = _open_study(optuna, path)
        before = len(_finished_trials(study))
        while _untried(study, grid) if grid else len(_finished_trials(study)) < trials:
            if _finished_trials(study) and time.monotonic() > deadline:
                break
            trial, choice = _next_in_grid(optuna, study, grid) if grid else _suggest(optuna, study, seed)
            _run_trial(optuna, study, trial, choice, attempt, deadline)
        done = _finished_trials(study)
        values = itertools.accumulate((_trial_value(trial) for trial in done), max)
        return Found(Choice(**study.best_params), list(values), len(done) - before)


def _suggest(optuna: Any, study: optuna.Study, seed: int) -> tuple[optuna.Trial, Choice]:
    number = len(_finished_trials(study))
    study.sampler = optuna.samplers.TPESampler(seed=seed + number, n_startup_trials=6)
    if not number:  # start with the defaults, which are known to work well
        study.enqueue_trial(asdict(Choice()))
    trial = study.ask()
    return trial, _suggest_choice(trial)


def _next_in_grid(optuna: Any, study: optuna.Study, grid: Grid) -> tuple[optuna.Trial, Choice]:
    """Ask for the first untried combination, or for one that was interrupted."""
    study.enqueue_trial(_untried(study, grid)[0])
    categorical = optuna.distributions.CategoricalDistribution
    trial = study.ask({name: categorical(list(dict.fromkeys(values))) for name, values in grid.items()})
    return trial, Choice(**trial.params)


def _untried(study: optuna.Study, grid: Grid) -> list[dict[str, float]]:
    done = [trial.params for trial in _finished_trials(study)]
    return [choice for choice in choices(grid) if choice not in done]


def _run_trial(
    optuna: Any, study: optuna.Study, trial: optuna.Trial, choice: Choice, attempt: Attempt, deadline: float
) -> None:
    states = optuna.trial.TrialState
    number = len(_finished_trials(study))
    end_state = None

    def go_on(epoch: int, value: float) -> bool:
        nonlocal end_state
        trial.report(value, epoch)
        if number and time.monotonic() > deadline:
            end_state = states.FAIL  # not counted, so that a later run repeats the trial
        elif trial.should_prune():
            end_state = states.PRUNED
        return end_state is None

    value = attempt(choice, go_on)
    if end_state is None:
        study.tell(trial, value)
    else:
        study.tell(trial, state=end_state)


def _suggest_choice(trial: optuna.Trial) -> Choice:
    return Choice(
        width=trial.suggest_categorical("width", [128, 256, 512, 1024]),
        layers=trial.suggest_int("layers", 1, 2),
        learning_rate=trial.suggest_float("learning_rate", 5e-4, 1e-2, log=True),
        weight_decay=trial.suggest_float("weight_decay", 1e-6, 1e-1, log=True),
        noise=trial.suggest_float("noise", 0.0, 0.5),
        neighbours=trial.suggest_float("neighbours", 0.2, 20.0, log=True),
        temperature=trial.suggest_float("temperature", 0.02, 0.5, log=True),
    )


def _open_study(optuna: Any, path: Path) -> optuna.Study:
    path.parent.mkdir(parents=True, exist_ok=True)
    _truncate_partial_line(path)
    storage = optuna.storages
    # Not the default lock, a symbolic link: it is broken in a relative folder, and after a killed process others wait
    # for it forever. This lock expires after half a minute (Optuna 5.0).
    lock = storage.journal.JournalFileOpenLock(str(path))
    journal = storage.JournalStorage(storage.journal.JournalFileBackend(str(path), lock_obj=lock))
    pruner = optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=2)
    states = optuna.trial.TrialState
    study = optuna.create_study(
        storage=journal, study_name=path.stem, direction="maximize", pruner=pruner, load_if_exists=True
    )
    for trial in study.get_trials(deepcopy=False, states=(states.RUNNING,)):
        study.tell(trial.number, state=states.FAIL)  # its process has died
    return study  # type: ignore[no-any-return]


def _truncate_partial_line(path: Path) -> None:
    """Remove the partial last line of a killed process; Optuna 5.0 appends to it."""
    if path.exists() and not (content := path.read_bytes()).endswith(b"\n"):
        with path.open("r+b") as file:
            file.truncate(content.rfind(b"\n") + 1)


def _finished_trials(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state.name in ("COMPLETE", "PRUNED")]


def _trial_value(trial: optuna.trial.FrozenTrial) -> float:
    return trial.value or 0.0 if trial.state.name == "COMPLETE" else 0.0


@contextmanager
def _quiet_optuna() -> Iterator[Any]:
    """Import Optuna, and log only its errors to stderr."""
    try:
        import optuna
    except ImportError as error:
        raise MissingDependency("optuna", extra="tuning") from error
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield optuna
    finally:
        optuna.logging.set_verbosity(verbosity)
