"""Conversion of a declared model to a torch module for raw pixels, and to OpenVINO's format.

A faulty model raises an error here, before any image is read.
"""

from __future__ import annotations

import hashlib
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from imrec_core.errors import BadModel, MissingWeights
from imrec_core.lake.storage.files import moved_into_place
from imrec_core.models.model import Model
from imrec_core.models.quantization import Ranges, quantize
from imrec_core.models.torch_module import torch_module

if TYPE_CHECKING:
    pass

# On import, OpenVINO sends telemetry from a forked process. That process may never end, and then this one does not
# either. Without an importable telemetry module OpenVINO sends nothing.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

# EfficientNet-Lite0 in bf16 on two cores: 785, 970, 934, 921, 880 images/s for 1, 2, 4, 8, 12 (2026-11). Small requests
# fit the CPU cache, and a single query needs little padding. Vision transformers vary less: DINOv2-S 63, 65, 69, 67 and
# CLIP ViT-B/32 81, 88, 95, 101 for 1, 2, 4, 8.
REQUEST = 4
"""Images per OpenVINO request, unless the model takes fewer or a lake sets another number."""


class NotConvertible(BadModel):
    """A model that torch can run but OpenVINO cannot convert."""


def convert(model: Model, cache: Path, request: int = REQUEST, ranges: Ranges | None = None) -> Path:
    """Return the folder with the model in OpenVINO's format.

    The model takes `request` images at a time, and is converted on first use.

    Args:
        ranges: Ranges of activations, to quantise it to 8-bit integers.
    """
    import openvino as ov

    version = ov.__version__.partition("-")[0]
    quantised = () if ranges is None else (sorted(ranges.items()),)
    made_from = (model.loader, model.identity, model.dims, model.preprocess, request, version, *quantised)
    digest = hashlib.blake2b(repr(made_from).encode(), digest_size=8).hexdigest()
    folder = cache / f"{model.name}-{digest}"
    if (folder / "network.xml").exists():
        return folder
    network = (_from_onnx if model.loader == "onnx" else from_torch)(model, request)
    if ranges is not None:
        quantize(network, ranges, model.name)
    cache.mkdir(parents=True, exist_ok=True)
    try:
        with moved_into_place(folder) as temporary:
            temporary.mkdir()
            ov.save_model(network, temporary / "network.xml", compress_to_fp16=False)
    except OSError:
        if not folder.exists():  # otherwise another process converted it first
            raise
    return folder


def from_torch(model: Model, request: int) -> Any:
    """Convert the torch module of a model to an OpenVINO model for `request` images."""
    import openvino as ov

    module = torch_module(model)
    side = model.preprocess.crop
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer warns of values that are constant here
        import torch

        # A full request: with a batch of one, a squeeze in the network would be traced into the model.
        example = torch.zeros(request, side, side, 3, dtype=torch.uint8)
        fused = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)  # a second trace of its operator differs, which OpenVINO rejects
        try:
            return ov.convert_model(module, example_input=example, input=[request, side, side, 3])
        except Exception as error:  # of the tracer or the converter
            reason = " ".join(str(error).split())[:200]
            raise NotConvertible(model.name, f"OpenVINO cannot convert it ({reason})") from error
        finally:
            torch.backends.mha.set_fastpath_enabled(fused)


def _from_onnx(model: Model, request: int) -> Any:
    """Read an ONNX file as an OpenVINO model with preprocessing.

    It maps uint8 pixels `(n, crop, crop, 3)` to unit vectors `(n, dims)`. A file with a fixed batch size keeps it.
    """
    import openvino as ov
    from openvino import opset13 as ops
    from openvino.preprocess import PrePostProcessor

    if model.file is None or not model.file.exists():
        raise MissingWeights(model.name, f"no file {model.file}", hint="correct 'file' in lake.toml")
    try:
        network = ov.Core().read_model(model.file)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise BadModel(model.name, f"{model.file} cannot be read as ONNX: {reason}") from error
    _fix_input(model, network, request)
    vectors = ops.normalize_l2(_find_output(model, network), np.array([1]), 1e-24, "max")
    network = ov.Model([vectors], network.get_parameters(), model.name)
    steps = PrePostProcessor(network)
    steps.input().tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
    steps.input().model().set_layout(ov.Layout("NCHW"))
    mean, std = ([255 * number for number in numbers] for numbers in (model.preprocess.mean, model.preprocess.std))
    steps.input().preprocess().convert_element_type(network.input().element_type).mean(mean).scale(std)
    return steps.build()


def _fix_input(model: Model, network: Any, request: int) -> None:
    """Set the size of the input, and its batch size if the file leaves it open."""
    side = model.preprocess.crop
    expected = f"one float input (n, 3, {side}, {side})"
    found = [f"{node.element_type.get_type_name()} {node.partial_shape}" for node in network.inputs]
    if len(network.inputs) != 1 or not network.input().element_type.is_real():
        raise BadModel(model.name, f"its inputs are {'; '.join(found)}; expected {expected}")
    shape = network.input().partial_shape
    is_fixed = shape.rank.is_static and len(shape) == 4 and shape[0].is_static
    batch = shape[0].get_length() if is_fixed else request
    if not shape.compatible(type(shape)([batch, 3, side, side])):
        raise BadModel(model.name, f"its input is {found[0]}; expected {expected}")
    try:
        network.reshape([batch, 3, side, side])
    except RuntimeError as error:
        raise BadModel(model.name, f"the network does not accept images of {side}×{side} pixels ({error})") from error


def _find_output(model: Model, network: Any) -> Any:
    """Return the only output of shape `(n, dims)`."""
    batch = network.input().shape[0]
    shape = type(network.input().partial_shape)([batch, model.dims])
    matrices = [node for node in network.outputs if node.partial_shape.same_scheme(shape)]
    if len(matrices) != 1:
        found = "; ".join(str(node.partial_shape) for node in network.outputs)
        raise BadModel(
            model.name,
            f"the network returns {found} for {batch} images; expected one matrix [{batch},{model.dims}], as declared",
        )
    return matrices[0].get_node().input_value(0)
