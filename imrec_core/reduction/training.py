"""Training of one autoencoder, in torch; nothing of torch is left in what comes out.

The encoder is a linear map beside a small network, and so is the decoder. The linear maps start as the principal axes
and the networks as 0, so that training begins with what PCA gives and can only add. Its loss is the error of the
reconstruction, and how much the neighbours of each row within its batch differ before and after, as the divergence
of their distributions (Hinton & Roweis 2002). On 1,066 embeddings of EfficientNet-Lite0, 1,280 → 64 numbers, the share
of the 10 nearest neighbours kept for held-out rows was (PCA: .664):

    network alone, reconstruction                 .21 after 30 epochs, worse than before training
    network alone, reconstruction and distances   .42
    network alone, reconstruction and neighbours  .47
    linear and network, reconstruction            .695
    linear and network, … and distances           .696
    linear and network, … and neighbours          .730; .657 where each number is scaled by itself
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.reduction.neighbours import Rows, nearest, share_kept

if TYPE_CHECKING:
    import torch

Matrix = NDArray[np.float32]
Layers = list[tuple[Matrix, Matrix]]
Tensors = list[tuple["torch.Tensor", "torch.Tensor"]]

NEIGHBOURS = 10
_BATCH = 256
_LEAST_STEPS = 10  # of an epoch: a few hundred rows are gone through several times
# Multiplications of a layer and batch, below which one thread does the work: beside other processes on two cores an
# epoch over 1,070 × 1,280 with a width of 512 took 0.9 s by one, and 4.5 s by two, which wait for each other (2026-11).
_SMALL = 400_000_000


@dataclass(frozen=True)
class Choice:
    """What the search chooses.

    Attributes:
        width: Of a hidden layer.
        layers: Hidden layers of the encoder, and of the decoder.
        noise: Added to the input, in units of its spread.
        neighbours: Weight of keeping neighbours against an exact reconstruction.
        temperature: Mean squared distance per number at which a row counts as a neighbour no more.
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
    """What is to be learnt from.

    Attributes:
        rows: `(n, base dims)`, centred, of a mean variance of 1.
        held_out: `(m, base dims)`, rows that are not trained on.
        axes: `(dims, base dims)`, the principal axes of the rows.
        gallery: How many of the rows are looked at for neighbours of those held out.
        truth: `(m, 10)`, those of the gallery that are nearest to each.
    """

    rows: Matrix
    held_out: Matrix
    axes: Matrix
    gallery: int
    truth: Rows


@dataclass
class Trained:
    """What training gave: the weights of its best epoch, and how it went.

    Attributes:
        layers: Weights `(out, in)` and biases `(out,)` of the encoder's network.
        linear: `(dims, base dims)`.
        kept: Share of neighbours kept, before training and after each epoch.
        losses: Of training and of the rows held out, by epoch.
    """

    layers: Layers
    linear: Matrix
    kept: list[float] = field(default_factory=list)
    losses: list[tuple[float, float]] = field(default_factory=list)

    @property
    def best(self) -> float:
        return max(self.kept)

    @property
    def best_epoch(self) -> int:
        """0 where none was better than before training."""
        return int(np.argmax(self.kept))


def make_task(rows: Matrix, axes: Matrix, *, held_out: int, gallery: int) -> Task:
    """Split rows `(n, base dims)`, in random order, into those held out, which come first, and the others."""
    apart, others = rows[:held_out], rows[held_out:]
    gallery = min(gallery, len(others))
    truth = nearest(apart, others[:gallery], min(NEIGHBOURS, gallery))
    return Task(others, apart, axes, gallery, truth)


def encode(rows: Any, linear: Any, layers: Any) -> Any:
    """Rows `(n, base dims)` to `(n, dims)`; the same for arrays of numpy and of torch."""
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
    """Train one autoencoder; takes its weights from the epoch that kept most neighbours of the rows held out.

    Args:
        go_on: Asked after each epoch, given its number and the share of neighbours kept; training stops where it
            says no.
    """
    import torch

    with _threads_for(task.rows, choice):
        model = _Model.new(task.axes, choice, seed)
        result = Trained(*model.weights(), kept=[_kept(task, *model.weights())])
        held_out = torch.from_numpy(task.held_out[:_BATCH])
        for epoch, loss in enumerate(_epochs(model, task.rows, choice, epochs, seed)):
            with torch.no_grad():
                result.losses.append((loss, float(model.loss(held_out, held_out, choice))))
            weights = model.weights()
            kept = _kept(task, *weights)
            if kept > result.best:
                result.layers, result.linear = weights
            result.kept.append(kept)
            if not go_on(epoch, kept):
                break
        return result


def train_on_all(
    rows: Matrix, axes: Matrix, choice: Choice, *, epochs: int, last: int, seed: int
) -> tuple[Layers, Matrix]:
    """The weights, as in `Trained`, after the first `last` of so many epochs, with no row held out."""
    with _threads_for(rows, choice):
        model = _Model.new(axes, choice, seed)
        for _ in itertools.islice(_epochs(model, rows, choice, epochs, seed), last):
            pass
        return model.weights()


def _epochs(model: _Model, rows: Matrix, choice: Choice, epochs: int, seed: int) -> Iterator[float]:
    """Train a model, giving the mean loss of each epoch."""
    import torch

    rng, noise = np.random.default_rng(seed), torch.Generator().manual_seed(seed)  # torch's own state stays as it is
    size = min(_BATCH, len(rows))
    steps = max(len(rows) // size, _LEAST_STEPS)
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
def _threads_for(rows: Matrix, choice: Choice) -> Iterator[None]:
    """One thread of torch for small work; what was set before comes back."""
    import torch

    threads = torch.get_num_threads()
    if _BATCH * rows.shape[1] * choice.width < _SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _batches(count: int, size: int, steps: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Row numbers `(steps, size)`: as many random orders of all rows as it takes."""
    orders = [rng.permutation(count)[: count // size * size] for _ in range(-(-steps * size // (count // size * size)))]
    return np.concatenate(orders)[: steps * size].reshape(steps, size)


def _kept(task: Task, layers: Layers, linear: Matrix) -> float:
    gallery = encode(task.rows[: task.gallery], linear, layers)
    found = nearest(encode(task.held_out, linear, layers), gallery, task.truth.shape[1])
    return share_kept(task.truth, found)


@dataclass
class _Model:
    """An encoder and a decoder, each a linear map and the layers of a network."""

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
        return cls(_new_layers(sizes, rng), _new_layers(sizes[::-1], rng), *linear)

    @property
    def parameters(self) -> list[torch.Tensor]:
        return [self.down, self.up, *(tensor for layer in self.encoder + self.decoder for tensor in layer)]

    def weights(self) -> tuple[Layers, Matrix]:
        """Copies of the encoder's weights."""
        layers = [(w.detach().numpy().copy(), b.detach().numpy().copy()) for w, b in self.encoder]
        return layers, self.down.detach().numpy().copy()

    def loss(self, batch: torch.Tensor, noisy: torch.Tensor, choice: Choice) -> torch.Tensor:
        """Of rows `(n, base dims)` and the same with noise, which are encoded."""
        code = encode(noisy, self.down, self.encoder)
        error: torch.Tensor = ((encode(code, self.up, self.decoder) - batch) ** 2).mean()
        scale = choice.temperature * batch.shape[1]
        before, after = _log_neighbours(batch, scale), _log_neighbours(code, scale)
        return error + choice.neighbours * (before.exp() * (before - after)).sum(dim=1).mean()


def _new_layers(sizes: list[int], rng: np.random.Generator) -> Tensors:
    """Random hidden layers (He et al. 2015) and a last one of 0."""
    import torch

    layers = []
    for number, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        spread = np.sqrt(2 / inputs) if number < len(sizes) - 2 else 0.0
        weight = (rng.standard_normal((outputs, inputs)) * spread).astype(np.float32)
        layers.append((torch.tensor(weight, requires_grad=True), torch.zeros(outputs, requires_grad=True)))
    return layers


def _log_neighbours(rows: torch.Tensor, scale: float) -> torch.Tensor:
    """Logarithm of how likely each row takes each other one for its neighbour, `(n, n)`."""
    import torch

    lengths = (rows**2).sum(dim=1)
    squares = lengths[:, None] + lengths - 2 * rows @ rows.T
    itself = torch.eye(len(rows), dtype=torch.bool)
    return torch.log_softmax((-squares / scale).masked_fill(itself, -1e9), dim=1)
