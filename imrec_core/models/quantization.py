"""Quantisation of the convolutions of a network to 8-bit integers, for ranges of activations that were measured before.

OpenVINO runs a convolution in integers if its input and its weights pass through `FakeQuantize`. Weights are quantised
per output channel, activations per tensor (Jacob et al. 2018, arXiv:1712.05877). The ranges of activations are measured
on the demo photos (`tests/benchmarks/ranges.py` writes them), so that all machines quantise alike.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imrec_core.errors import BadModel

Pixels = NDArray[np.uint8]
Ranges = Mapping[str, tuple[float, float]]
"""Least and greatest value of each activation that a convolution reads, by the name of the activation."""

_CONVOLUTIONS = ("Convolution", "GroupConvolution")
_ACTIVATION_LEVELS, _WEIGHT_LEVELS = 256, 255  # weights are symmetric about 0
_COVERED = 90
"""Percentage of images whose activations lie within a range; of the wider ones the outliers are clipped."""


def ranges_file(model: str) -> Path:
    """Return the path of the measured ranges of a built-in model."""
    return Path(__file__).with_name("ranges") / f"{model}.json"


@functools.cache
def stored_ranges(model: str) -> Ranges | None:
    """Return the measured ranges of a built-in model; None if it has none."""
    file = ranges_file(model)
    if not file.exists():
        return None
    return {name: (low, high) for name, (low, high) in json.loads(file.read_text()).items()}


def quantize(network: Any, ranges: Ranges, model: str) -> None:
    """Quantise all convolutions of an OpenVINO model in place.

    Raises:
        BadModel: The ranges are of another network.
    """
    from openvino import opset13 as ops

    for operation in list(_convolutions(network)):
        name = _input_name(operation)
        if name not in ranges:
            raise BadModel(model, f"it has no range for {name}; was it converted by another version of torch?")
        low, high = (np.float32(limit) for limit in ranges[name])
        activation = ops.fake_quantize(operation.input_value(0), low, high, low, high, _ACTIVATION_LEVELS)
        operation.input(0).replace_source_output(activation.output(0))
        limits = _channel_limits(operation)
        weights = ops.fake_quantize(operation.input_value(1), -limits, limits, -limits, limits, _WEIGHT_LEVELS)
        operation.input(1).replace_source_output(weights.output(0))


def measure_ranges(network: Any, batches: Iterable[Pixels]) -> Ranges:
    """Measure the ranges of an OpenVINO model: per activation, the limits that hold the values of 90 % of the images.

    Args:
        batches: Images as the network takes them, `(request, side, side, 3)`.
    """
    import openvino as ov

    names = list(dict.fromkeys(_input_name(operation) for operation in _convolutions(network)))
    observed = network.clone()
    by_name = {_input_name(operation): operation.input_value(0) for operation in _convolutions(observed)}
    observed.add_outputs([by_name[name] for name in names])
    compiled = ov.compile_model(observed, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    limits = []
    for batch in batches:
        flat = [values.reshape(len(batch), -1) for values in list(compiled([batch]).values())[1:]]
        limits.append([(values.min(axis=1), values.max(axis=1)) for values in flat])
    lowest, highest = np.concatenate(limits, axis=2).swapaxes(0, 1)
    lows, highs = np.percentile(lowest, 100 - _COVERED, axis=1), np.percentile(highest, _COVERED, axis=1)
    return {name: (float(low), float(high)) for name, low, high in zip(names, lows, highs, strict=True)}


def _convolutions(network: Any) -> Iterator[Any]:
    return (operation for operation in network.get_ordered_ops() if operation.get_type_name() in _CONVOLUTIONS)


def _input_name(operation: Any) -> str:
    return str(operation.input_value(0).get_node().get_friendly_name())


def _channel_limits(operation: Any) -> NDArray[np.float32]:
    """Return the greatest absolute weight of each output channel, in a shape that the weights take."""
    weights = np.abs(operation.input_value(1).get_node().data)
    leading = 2 if operation.get_type_name() == "GroupConvolution" else 1  # (groups, channels of a group, …)
    limits = weights.max(axis=tuple(range(leading, weights.ndim)), keepdims=True)
    return np.asarray(np.maximum(limits, 1e-12), np.float32)
