"""Small autoencoder that preserves nearest neighbours, with a budgeted search for its hyperparameters."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from imrec_core.errors import DeclarationError
from imrec_core.features.reduction.autoencoder_search import Found, GoOn, Grid, check_grid, search
from imrec_core.features.reduction.autoencoder_training import (
    Choice,
    Layers,
    Task,
    Trained,
    encode,
    make_task,
    train,
    train_on_all,
)
from imrec_core.features.reduction.method import (
    Arrays,
    Block,
    Facts,
    Matrix,
    Method,
    check_dims,
    curve,
    require_rows,
    sample_rows,
)
from imrec_core.features.reduction.pca import Moments, principal_axes

_MIN_ROWS = 20
_HELD_OUT = 512  # maximum number of rows; a fifth of a small sample
# Share of held-out rows above which a final training includes them: PCA of 1,066 rows kept .82 of the neighbours, and
# .75 when fitted without a fifth of the rows.
_MAX_HELD_OUT_SHARE = 0.02
_TRIAL_ROWS = 8192  # training rows of a trial, which then takes a tenth of a minute instead of minutes
_BATCH = 4096


def fit_autoencoder(
    blocks: Sequence[Block],
    *,
    dims: int,
    folder: Path,
    trials: int = 20,
    seconds: float = 120.0,
    epochs: int = 30,
    max_rows: int = 50_000,
    seed: int = 0,
    grid: Grid | None = None,
) -> tuple[Arrays, Facts]:
    """Fit an encoder to a sample of rows, with the best hyperparameters of a search.

    A trial trains a third of the epochs on a part of the sample. Held-out rows select the best trial and epoch. If they
    are more than a fiftieth of the sample, a final training uses all rows, for the best number of epochs. `folder`
    keeps a file of the search, named after the sample and the settings. An interrupted fit, or a fit with more trials,
    resumes from the trials in that file.

    Args:
        trials: Number of trials; 0 uses the default hyperparameters and needs no Optuna.
        seconds: Time limit for all trials, without the final training.
        epochs: Epochs of the final training.
        max_rows: Maximum size of the sample; it takes 8 bytes per number.
        grid: Values to try in all combinations, by the name of a hyperparameter in `Choice`, instead of `trials`.

    Returns:
        `mean` `(base dims,)`, `scale` `()`, `linear` `(dims, base dims)`, and `weight_<i>` and `bias_<i>` of each
        layer; and statistics of the fit.

    Raises:
        LakeError: There are fewer than 20 rows.
        DeclarationError: `dims` is larger than that of the vectors, or `epochs` or `max_rows` is too small.
        MissingDependency: There are trials to run, and Optuna is not installed.
    """
    if epochs < 1 or max_rows < _MIN_ROWS:
        raise DeclarationError(
            f"autoencoder: epochs is {epochs} and max_rows is {max_rows}; expected at least 1 and {_MIN_ROWS}"
        )
    sample, rows = sample_rows(blocks, max_rows, seed)
    require_rows("autoencoder", rows, least=_MIN_ROWS)
    check_dims("autoencoder", dims, sample.shape[1])
    name = f"autoencoder-{_fingerprint(sample, dims, epochs, seed, grid)}"
    values, mean, scale = _standardize(sample, seed)
    held_out = min(_HELD_OUT, len(values) // 5)
    task = make_task(values, _axes(values[held_out:], dims), held_out=held_out, gallery=_TRIAL_ROWS)
    found = Found(Choice(), [], 0)
    if trials or grid:
        found = _search_choice(task, folder / f"{name}.journal", epochs, trials, seconds, seed, grid)
    trained = train(task, found.choice, epochs=epochs, seed=seed)
    layers, linear = trained.layers, trained.linear
    if held_out > _MAX_HELD_OUT_SHARE * len(values):
        axes, last = _axes(values, dims), trained.best_epoch
        layers, linear = train_on_all(values, axes, found.choice, epochs=epochs, last=last, seed=seed)
    facts = {"rows": rows, "sampled": len(sample), "dims": dims, **_statistics(trained, found)}
    return _arrays(layers, linear, mean, scale), facts


def _standardize(sample: Matrix, seed: int) -> tuple[Matrix, Matrix, float]:
    """Shuffle and centre the sample, and divide it by one number."""
    values = sample[np.random.default_rng(seed).permutation(len(sample))].astype(np.float32)
    mean = values.mean(axis=0, dtype=np.float64).astype(np.float32)
    values -= mean
    scale = float(np.linalg.norm(values) / np.sqrt(values.size)) or 1.0
    values /= scale
    return values, mean, scale


def _axes(values: Matrix, dims: int) -> Matrix:
    return principal_axes(Moments.of(values), dims)[0].astype(np.float32)


def _search_choice(
    task: Task, path: Path, epochs: int, trials: int, seconds: float, seed: int, grid: Grid | None
) -> Found:
    part = Task(task.rows[:_TRIAL_ROWS], task.held_out, task.axes, task.gallery, task.truth)

    def attempt(choice: Choice, go_on: GoOn) -> float:
        return max(train(part, choice, epochs=-(-epochs // 3), seed=seed, go_on=go_on).kept[1:])

    return search(path, attempt, trials=trials, seconds=seconds, seed=seed, grid=grid)


def _fingerprint(sample: Matrix, dims: int, epochs: int, seed: int, grid: Grid | None) -> str:
    settings = (1, sample.shape, sample.dtype, dims, epochs, seed, *([sorted(grid.items())] if grid else []))
    digest = hashlib.blake2b(repr(settings).encode(), digest_size=8)
    digest.update(np.ascontiguousarray(sample).tobytes())
    return digest.hexdigest()


def _arrays(layers: Layers, linear: Matrix, mean: Matrix, scale: float) -> Arrays:
    arrays: Arrays = {"mean": mean, "scale": np.asarray(scale, dtype=np.float32), "linear": linear}
    for number, (weight, bias) in enumerate(layers):
        arrays |= {f"weight_{number}": weight, f"bias_{number}": bias}
    return arrays


def _statistics(trained: Trained, found: Found) -> Facts:
    training, held_out = zip(*trained.losses)
    curves = curve("training loss", training, "epoch", "loss")
    curves |= curve("validation loss", held_out, "epoch", "loss")
    curves |= curve("neighbours kept", trained.kept[1:], "epoch", "share of the 10 nearest, rows held out")
    if found.values:
        curves |= curve("best trial so far", found.values, "trial", "share of the 10 nearest kept")
    return {
        "neighbours_kept": trained.best,
        "neighbours_kept_untrained": trained.kept[0],  # with the principal axes only
        "trials": len(found.values),
        "trials_added": found.added,
        "choice": found.choice.__dict__,
        "curves": curves,
    }


def project(vectors: Matrix, arrays: Arrays) -> Matrix:
    """Encode vectors `(n, base dims)` in batches; distances keep their units."""
    count = sum(name.startswith("weight_") for name in arrays)
    layers = [(arrays[f"weight_{number}"], arrays[f"bias_{number}"]) for number in range(count)]
    projected = np.empty((len(vectors), len(arrays["linear"])), dtype=np.float32)
    for first in range(0, len(vectors), _BATCH):
        rows = (np.asarray(vectors[first : first + _BATCH], dtype=np.float32) - arrays["mean"]) / arrays["scale"]
        projected[first : first + _BATCH] = encode(rows, arrays["linear"], layers) * arrays["scale"]
    return projected


AUTOENCODER = Method(
    name="autoencoder",
    summary="autoencoder trained to preserve nearest neighbours.",
    source="Hinton & Salakhutdinov 2006, doi:10.1126/science.1127647; Hinton & Roweis 2002",
    fit=fit_autoencoder,
    project=project,
    params={"trials": 20, "seconds": 120.0, "epochs": 30, "max_rows": 50_000, "seed": 0},
    check_grid=check_grid,
)
