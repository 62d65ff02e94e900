"""Training of an autoencoder with torch; the results are numpy arrays.

Encoder and decoder are each the sum of a linear map and a small network. The linear maps start as the principal axes
and the networks as 0, so that training starts with the result of PCA. The loss is the reconstruction error plus the
divergence between the neighbour distributions of each row in its batch before and after encoding (Hinton & Roweis
2002). For 1,066 embeddings of EfficientNet-Lite0, reduced from 1,280 to 64 dims, the share of the 10 nearest neighbours
preserved for held-out rows was (PCA: .664):

    network alone, reconstruction                 .21 after 30 epochs, worse than before training
    network alone, reconstruction and distances   .42
    network alone, reconstruction and neighbours  .47
    linear and network, reconstruction            .695
    linear and network, … and distances           .696
    linear and network, … and neighbours          .730; .657 if each dimension is scaled separately
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.features.reduction.neighbours import Rows, nearest, share_kept

if TYPE_CHECKING:
    import torch

Matrix = NDArray[np.float32]
Layers = list[tuple[Matrix, Matrix]]
Tensors = list[tuple["torch.Tensor", "torch.Tensor"]]

NEIGHBOURS = 10
_BATCH = 256
_MIN_STEPS = 10  # per epoch: an epoch passes a few hundred rows several times
# Multiplications per layer and batch below which training uses one thread: beside other processes on two cores an epoch
# over 1,070 × 1,280 with a width of 512 took 0.9 s with one thread, and 4.5 s with two, which wait for each other
# (2026-11).
_SMALL = 400_000_000


@dataclass(frozen=True)
class Choice:
    """Hyperparameters of an autoencoder.

    Attributes:
        width: Units of a hidden layer.
        layers: Hidden layers of the encoder, and of the decoder.
        noise: Standard deviation of noise added to the input, in units of its spread.
        neighbours: Weight of the neighbour loss relative to the reconstruction error.
        temperature: Mean squared distance per dimension beyond which a row no longer counts as a neighbour.
    """

    width: int = 512
    layers: int = 1
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    noise: float = 0.1
    neighbours: float = 1.0
    temperature: float = 0.1


@dataclass(frozen=True)
class Task:
    """Training data.

    Attributes:
        rows: Training rows `(n, base dims)`, centred, with a mean variance of 1.
        held_out: Rows `(m, base dims)` that are not used for training.
        axes: Principal axes `(dims, base dims)` of the rows.
        gallery: Number of training rows in which neighbours of the held-out rows are searched.
        truth: Nearest gallery rows `(m, 10)` of each held-out row.
    """

    rows: Matrix
    held_out: Matrix
    axes: Matrix
    gallery: int
    truth: Rows


@dataclass
class Trained:
    """Result of a training: the weights of its best epoch, and its history.

    Attributes:
        layers: Weights `(out, in)` and biases `(out,)` of the encoder's network.
        linear: Linear map of the encoder `(dims, base dims)`.
        kept: Share of neighbours preserved, before training and after each epoch.
        losses: Training loss and held-out loss of each epoch.
    """

    layers: Layers
    linear: Matrix
    kept: list[float] = field(default_factory=list)
    losses: list[tuple[float, float]] = field(default_factory=list)

    @property
    def best(self) -> float:
        """Largest share of neighbours preserved."""
        return max(self.kept)

    @property
    def best_epoch(self) -> int:
        """Number of the best epoch; 0 if none improved on the start."""
        return int(np.argmax(self.kept))


def make_task(rows: Matrix, axes: Matrix, *, held_out: int, gallery: int) -> Task:
    """Split shuffled rows `(n, base dims)`; the first are held out."""
    validation, training = rows[:held_out], rows[held_out:]
    gallery = min(gallery, len(training))
    truth = nearest(validation, training[:gallery], min(NEIGHBOURS, gallery))
    return Task(training, validation, axes, gallery, truth)


def encode(rows: Any, linear: Any, layers: Any) -> Any:
    """Encode rows `(n, base dims)` to `(n, dims)`, as numpy arrays or torch tensors."""
    hidden = rows
    for number, (weight, bias) in enumerate(layers):
        hidden = hidden @ weight.T + bias
        if number < len(layers) - 1:
            hidden = hidden * (hidden > 0)
    return rows @ linear.T + hidden


def train(
    task: Task,
    choice: Choice,
    *,
    epochs: int,
    seed: int,
    go_on: Callable[[int, float], bool] = lambda epoch, kept: True,
) -> Trained:
    """Train an autoencoder, and return the weights of its best epoch.

    The best epoch preserves most neighbours of held-out rows.

    Args:
        go_on: Called after each epoch with its number and the share of neighbours preserved; training stops if it
            returns False.
    """
    import torch

    with _limit_threads(task.rows, choice):
        model = _Model.new(task.axes, choice, seed)
        result = Trained(*model.weights(), kept=[_measure_kept(task, *model.weights())])
        held_out = torch.from_numpy(task.held_out[:_BATCH])
        for epoch, loss in enumerate(_run_epochs(model, task.rows, choice, epochs, seed)):
            with torch.no_grad():
                result.losses.append((loss, float(model.loss(held_out, held_out, choice))))
            weights = model.weights()
            kept = _measure_kept(task, *weights)
            if kept > result.best:
                result.layers, result.linear = weights
            result.kept.append(kept)
            if not go_on(epoch, kept):
                break
        return result


def train_on_all(
    rows: Matrix, axes: Matrix, choice: Choice, *, epochs: int, last: int, seed: int
) -> tuple[Layers, Matrix]:
    """Train on all rows, and return the weights after `last` of `epochs` epochs."""
    with _limit_threads(rows, choice):
        model = _Model.new(axes, choice, seed)
        for _ in itertools.islice(_run_epochs(model, rows, choice, epochs, seed), last):
            pass
        return model.weights()


def _run_epochs(model: _Model, rows: Matrix, choice: Choice, epochs: int, seed: int) -> Iterator[float]:
    """Train a model, and yield the mean loss of each epoch."""
    import torch

    rng, noise = np.random.default_rng(seed), torch.Generator().manual_seed(seed)  # torch's global state stays as is
    size = min(_BATCH, len(rows))
    steps = max(len(rows) // size, _MIN_STEPS)
    optimizer = torch.optim.AdamW(model.parameters, lr=choice.learning_rate, weight_decay=choice.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, choice.learning_rate, total_steps=epochs * steps)
    tensor = torch.from_numpy(rows)
    for _ in range(epochs):
        total = 0.0
        for chosen in _batches(len(rows), size, steps, rng):
            batch = tensor[torch.from_numpy(chosen)]
            loss = model.loss(batch, batch + choice.noise * torch.randn(batch.shape, generator=noise), choice)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += float(loss.detach())
        yield total / steps


@contextmanager
def _limit_threads(rows: Matrix, choice: Choice) -> Iterator[None]:
    """Use one thread of torch for a small model, and restore the setting afterwards."""
    import torch

    threads = torch.get_num_threads()
    if _BATCH * rows.shape[1] * choice.width < _SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _batches(count: int, size: int, steps: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw row numbers `(steps, size)` from permutations of all rows."""
    orders = [rng.permutation(count)[: count // size * size] for _ in range(-(-steps * size // (count // size * size)))]
    return np.concatenate(orders)[: steps * size].reshape(steps, size)


def _measure_kept(task: Task, layers: Layers, linear: Matrix) -> float:
    gallery = encode(task.rows[: task.gallery], linear, layers)
    found = nearest(encode(task.held_out, linear, layers), gallery, task.truth.shape[1])
    return share_kept(task.truth, found)


@dataclass
class _Model:
    """Encoder and decoder, each with a linear map and the layers of a network."""

    encoder: Tensors
    decoder: Tensors
    down: torch.Tensor
    up: torch.Tensor

    @classmethod
    def new(cls, axes: Matrix, choice: Choice, seed: int) -> _Model:
        import torch

        rng = np.random.default_rng(seed)
        dims, width = axes.shape
        sizes = [width, *[choice.width] * choice.layers, dims]
        linear = (torch.tensor(np.ascontiguousarray(part), requires_grad=True) for part in (axes, axes.T))
        return cls(_make_layers(sizes, rng), _make_layers(sizes[::-1], rng), *linear)

    @property
    def parameters(self) -> list[torch.Tensor]:
        return [self.down, self.up, *(tensor for layer in self.encoder + self.decoder for tensor in layer)]

    def weights(self) -> tuple[Layers, Matrix]:
        """Copy the weights of the encoder."""
        layers = [(w.detach().numpy().copy(), b.detach().numpy().copy()) for w, b in self.encoder]
        return layers, self.down.detach().numpy().copy()

    def loss(self, batch: torch.Tensor, noisy: torch.Tensor, choice: Choice) -> torch.Tensor:
        """Compute the loss of rows `(n, base dims)` encoded from noisy rows."""
        code = encode(noisy, self.down, self.encoder)
        error: torch.Tensor = ((encode(code, self.up, self.decoder) - batch) ** 2).mean()
        scale = choice.temperature * batch.shape[1]
        before, after = _log_probabilities(batch, scale), _log_probabilities(code, scale)
        return error + choice.neighbours * (before.exp() * (before - after)).sum(dim=1).mean()


def _make_layers(sizes: list[int], rng: np.random.Generator) -> Tensors:
    """Make random hidden layers (He et al. 2015) and a last layer of 0."""
    import torch

    layers = []
    for number, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        spread = np.sqrt(2 / inputs) if number < len(sizes) - 2 else 0.0
        weight = (rng.standard_normal((outputs, inputs)) * spread).astype(np.float32)
        layers.append((torch.tensor(weight, requires_grad=True), torch.zeros(outputs, requires_grad=True)))
    return layers


def _log_probabilities(rows: torch.Tensor, scale: float) -> torch.Tensor:
    """Compute the log probabilities `(n, n)` of rows as neighbours of each other."""
    import torch

    lengths = (rows**2).sum(dim=1)
    squares = lengths[:, None] + lengths - 2 * rows @ rows.T
    itself = torch.eye(len(rows), dtype=torch.bool)
    return torch.log_softmax((-squares / scale).masked_fill(itself, -1e9), dim=1)
