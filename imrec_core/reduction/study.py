"""A search for good settings with Optuna, free or over a grid; it is kept in a file and goes on where it was left."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imrec_core.errors import DeclarationError, MissingDependency, UnknownName
from imrec_core.reduction.training import Choice

if TYPE_CHECKING:
    import optuna

GoOn = Callable[[int, float], bool]
Attempt = Callable[[Choice, GoOn], float]  # trains with a choice, asking after each epoch, and gives its value

Grid = Mapping[str, Sequence[float]]
"""Values to try, by the name of a setting in `Choice`."""

_MAY_BE_0 = ("weight_decay", "noise", "neighbours")


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes:
        choice: That of the best value.
        values: The best value after each trial, over all runs.
        added: Trials of this run.
    """

    choice: Choice
    values: list[float]
    added: int


def check_grid(grid: Any) -> None:
    """Refuse what is no `Grid`, as `lake.toml` may have it.

    Raises:
        UnknownName: No such setting is tried.
        DeclarationError: There is nothing to try, or a value that cannot be.
    """
    kinds = {field.name: type(field.default) for field in fields(Choice)}
    if not isinstance(grid, Mapping) or not grid:
        raise DeclarationError(f"grid is {grid!r}; it must hold lists of values to try, such as {{width = [256, 512]}}")
    for name, values in grid.items():
        if name not in kinds:
            raise UnknownName("setting to try", name, kinds)
        if not isinstance(values, list) or not values or not all(_can_be(name, kinds[name], v) for v in values):
            wanted = "whole numbers, 1 or more" if kinds[name] is int else "numbers above 0"
            wanted = "numbers, 0 or more" if name in _MAY_BE_0 else wanted
            raise DeclarationError(f"{name} of the grid is {values!r}; it must be a list of {wanted}")


def _can_be(name: str, kind: type, value: Any) -> bool:
    fits = type(value) in ((int,) if kind is int else (int, float))
    return fits and value < float("inf") and (value > 0 or (value == 0 and name in _MAY_BE_0))


def choices(grid: Grid) -> list[dict[str, float]]:
    """Every combination of the values, those of the last setting fastest."""
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*map(dict.fromkeys, grid.values()))]


def search(path: Path, attempt: Attempt, *, trials: int, seconds: float, seed: int, grid: Grid | None = None) -> Found:
    """Try choices until there are `trials` in the file, or the time is up and there is at least one.

    With a grid all its combinations are tried instead, what it does not name being as usual. A trial depends on the
    seed and on those before it alone, so that a search that was interrupted finds what it would have found. What was
    being tried then is tried again.

    Raises:
        MissingDependency: Optuna is not installed.
    """
    deadline = time.monotonic() + seconds
    with _quiet_optuna() as optuna:
        study = _opened(optuna, path)
        before = len(_finished(study))
        while _left(study, grid) if grid else len(_finished(study)) < trials:
            if _finished(study) and time.monotonic() > deadline:
                break
            trial, choice = _of_grid(optuna, study, grid) if grid else _suggested(optuna, study, seed)
            _try_one(optuna, study, trial, choice, attempt, deadline)
        done = _finished(study)
        values = itertools.accumulate((_value(trial) for trial in done), max)
        return Found(Choice(**study.best_params), list(values), len(done) - before)


def _suggested(optuna: Any, study: optuna.Study, seed: int) -> tuple[optuna.Trial, Choice]:
    number = len(_finished(study))
    study.sampler = optuna.samplers.TPESampler(seed=seed + number, n_startup_trials=6)
    if not number:  # the first one is known to do well, and others are measured by it
        study.enqueue_trial(asdict(Choice()))
    trial = study.ask()
    return trial, _chosen(trial)


def _of_grid(optuna: Any, study: optuna.Study, grid: Grid) -> tuple[optuna.Trial, Choice]:
    """The first combination that is left. One that a killed process had asked for comes before it, once more."""
    study.enqueue_trial(_left(study, grid)[0])
    categorical = optuna.distributions.CategoricalDistribution
    trial = study.ask({name: categorical(list(dict.fromkeys(values))) for name, values in grid.items()})
    return trial, Choice(**trial.params)


def _left(study: optuna.Study, grid: Grid) -> list[dict[str, float]]:
    done = [trial.params for trial in _finished(study)]
    return [choice for choice in choices(grid) if choice not in done]


def _try_one(
    optuna: Any, study: optuna.Study, trial: optuna.Trial, choice: Choice, attempt: Attempt, deadline: float
) -> None:
    states = optuna.trial.TrialState
    number = len(_finished(study))
    ended = None

    def go_on(epoch: int, value: float) -> bool:
        nonlocal ended
        trial.report(value, epoch)
        if number and time.monotonic() > deadline:
            ended = states.FAIL  # not counted, so that a later run tries it in full
        elif trial.should_prune():
            ended = states.PRUNED
        return ended is None

    value = attempt(choice, go_on)
    if ended is None:
        study.tell(trial, value)
    else:
        study.tell(trial, state=ended)


def _chosen(trial: optuna.Trial) -> Choice:
    return Choice(
        width=trial.suggest_categorical("width", [128, 256, 512, 1024]),
        layers=trial.suggest_int("layers", 1, 2),
        learning_rate=trial.suggest_float("learning_rate", 5e-4, 1e-2, log=True),
        weight_decay=trial.suggest_float("weight_decay", 1e-6, 1e-1, log=True),
        noise=trial.suggest_float("noise", 0.0, 0.5),
        neighbours=trial.suggest_float("neighbours", 0.2, 20.0, log=True),
        temperature=trial.suggest_float("temperature", 0.02, 0.5, log=True),
    )


def _opened(optuna: Any, path: Path) -> optuna.Study:
    path.parent.mkdir(parents=True, exist_ok=True)
    _mend(path)
    storage = optuna.storages
    # Not the default lock, a link: in a relative folder it points nowhere, and one that a killed process left behind
    # is then waited for without end, where this one is taken over after half a minute (Optuna 5.0).
    lock = storage.journal.JournalFileOpenLock(str(path))
    journal = storage.JournalStorage(storage.journal.JournalFileBackend(str(path), lock_obj=lock))
    pruner = optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=2)
    states = optuna.trial.TrialState
    study = optuna.create_study(
        storage=journal, study_name=path.stem, direction="maximize", pruner=pruner, load_if_exists=True
    )
    for trial in study.get_trials(deepcopy=False, states=(states.RUNNING,)):
        study.tell(trial.number, state=states.FAIL)  # its process is gone
    return study  # type: ignore[no-any-return]


def _mend(path: Path) -> None:
    """Cut off the line that a killed process left half written: Optuna 5.0 would write on behind it."""
    if path.exists() and not (content := path.read_bytes()).endswith(b"\n"):
        with path.open("r+b") as file:
            file.truncate(content.rfind(b"\n") + 1)


def _finished(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state.name in ("COMPLETE", "PRUNED")]


def _value(trial: optuna.trial.FrozenTrial) -> float:
    return trial.value or 0.0 if trial.state.name == "COMPLETE" else 0.0


@contextmanager
def _quiet_optuna() -> Iterator[Any]:
    """Optuna, which says on stderr only what went wrong."""
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
