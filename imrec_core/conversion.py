"""A network as data → what runs: a torch module that takes pictures, and that module in OpenVINO's format.

Whatever can be wrong with a network is found here, before any picture is read.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from imrec_core.errors import BadModel, MissingWeights
from imrec_core.loaders import load_module
from imrec_core.models import Model

if TYPE_CHECKING:
    import torch

# Importing OpenVINO tells its makers, from a forked process that may never end, and then neither does this one.
# Where the module that tells them cannot be imported, nothing is told.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

# EfficientNet-Lite0 in bf16 on two cores: 785, 970, 934, 921, 880 images/s for 1, 2, 4, 8, 12 (2026-11); small requests
# stay in the cache, and a single query pads little. Vision transformers hardly mind: DINOv2-S 63, 65, 69, 67 and
# CLIP ViT-B/32 81, 88, 95, 101 for 1, 2, 4, 8.
REQUEST = 4
"""Pictures that OpenVINO takes at a time, unless the model takes fewer or a lake says another number."""


class NotConvertible(BadModel):
    """A network that torch runs and OpenVINO cannot convert."""


def torch_module(model: Model) -> torch.nn.Module:
    """The network in eager fp32: uint8 `(n, crop, crop, 3)` in, unit vectors `(n, dims)` out.

    Raises:
        MissingDependency, MissingWeights, BadModel: As `loaders.load_module`; BadModel also where dims differ.
    """
    features = load_module(model).float().eval()

    import torch

    mean = torch.tensor(model.preprocess.mean)
    std = torch.tensor(model.preprocess.std)

    class Embedding(torch.nn.Module):
        mean: torch.Tensor
        std: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.features = features
            self.register_buffer("mean", mean, persistent=False)
            self.register_buffer("std", std, persistent=False)

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            scaled = (pixels.float() / 255 - self.mean) / self.std  # before the axes move: OpenVINO then moves nothing
            return torch.nn.functional.normalize(self.features(scaled.permute(0, 3, 1, 2)).float())

    _try_out(model, features)
    return Embedding().eval()


def _try_out(model: Model, features: torch.nn.Module) -> None:
    """Run the network once on two grey pictures, and hold what it gives to what is declared."""
    import torch

    side = model.preprocess.crop
    try:
        with torch.inference_mode():
            found = features(torch.zeros(2, 3, side, side))
    except Exception as error:  # a network may fail in as many ways as there are networks
        reason = " ".join(str(error).split())[:300]
        raise BadModel(model.name, f"does not take pictures of {side}×{side} pixels ({reason})") from error
    if not isinstance(found, torch.Tensor):
        raise BadModel(model.name, f"gives a {type(found).__name__}; expected is a tensor (n, {model.dims})")
    if tuple(found.shape) != (2, model.dims):
        raise BadModel(
            model.name, f"gives {tuple(found.shape)} for 2 pictures; expected is (2, {model.dims}), as declared"
        )
    if not bool(torch.isfinite(found).all()):
        raise BadModel(model.name, "gives numbers that are not finite; its weights are damaged")


def converted(model: Model, cache: Path, request: int = REQUEST) -> Path:
    """The folder with the network in OpenVINO's format, for so many pictures at a time; made on first use."""
    import openvino as ov

    made_from = (model.loader, model.identity, model.dims, model.preprocess, request, ov.__version__.partition("-")[0])
    digest = hashlib.blake2b(repr(made_from).encode(), digest_size=8).hexdigest()
    folder = cache / f"{model.name}-{digest}"
    if (folder / "network.xml").exists():
        return folder
    network = (_from_onnx if model.loader == "onnx" else _from_torch)(model, request)
    cache.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=cache))
    ov.save_model(network, temporary / "network.xml", compress_to_fp16=False)
    try:
        temporary.rename(folder)
    except OSError:  # another process was faster
        shutil.rmtree(temporary)
    return folder


def _from_torch(model: Model, request: int) -> Any:
    """The torch module of a model as an OpenVINO model that takes so many pictures."""
    import openvino as ov

    module = torch_module(model)
    side = model.preprocess.crop
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's tracer warns of what does not change here
        import torch

        # As many as a request holds: what a network squeezes out of a batch of one would be traced into it.
        example = torch.zeros(request, side, side, 3, dtype=torch.uint8)
        fused = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)  # its operator is not traced alike twice, as OpenVINO wants
        try:
            return ov.convert_model(module, example_input=example, input=[request, side, side, 3])
        except Exception as error:  # the tracer's and the converter's alike
            reason = " ".join(str(error).split())[:200]
            raise NotConvertible(model.name, f"OpenVINO cannot convert it ({reason})") from error
        finally:
            torch.backends.mha.set_fastpath_enabled(fused)


def _from_onnx(model: Model, request: int) -> Any:
    """An ONNX file as an OpenVINO model: uint8 `(n, crop, crop, 3)` in, unit vectors out.

    A file with a fixed batch size keeps it.
    """
    import openvino as ov
    from openvino import opset13 as ops
    from openvino.preprocess import PrePostProcessor

    if model.file is None or not model.file.exists():
        raise MissingWeights(model.name, f"there is no {model.file}", hint="lake.toml says where they lie")
    try:
        network = ov.Core().read_model(model.file)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise BadModel(model.name, f"{model.file} cannot be read as ONNX: {reason}") from error
    _fix_input(model, network, request)
    vectors = ops.normalize_l2(_only_matrix(model, network), np.array([1]), 1e-24, "max")
    network = ov.Model([vectors], network.get_parameters(), model.name)
    steps = PrePostProcessor(network)
    steps.input().tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
    steps.input().model().set_layout(ov.Layout("NCHW"))
    mean, std = ([255 * number for number in numbers] for numbers in (model.preprocess.mean, model.preprocess.std))
    steps.input().preprocess().convert_element_type(network.input().element_type).mean(mean).scale(std)
    return steps.build()


def _fix_input(model: Model, network: Any, request: int) -> None:
    """Give the input its size, and so many pictures where the file leaves that open."""
    side = model.preprocess.crop
    wanted = f"one float input (n, 3, {side}, {side})"
    found = [f"{node.element_type.get_type_name()} {node.partial_shape}" for node in network.inputs]
    if len(network.inputs) != 1 or not network.input().element_type.is_real():
        raise BadModel(model.name, f"its inputs are {'; '.join(found)}; expected is {wanted}")
    shape = network.input().partial_shape
    is_fixed = shape.rank.is_static and len(shape) == 4 and shape[0].is_static
    batch = shape[0].get_length() if is_fixed else request
    if not shape.compatible(type(shape)([batch, 3, side, side])):
        raise BadModel(model.name, f"its input is {found[0]}; expected is {wanted}")
    try:
        network.reshape([batch, 3, side, side])
    except RuntimeError as error:
        raise BadModel(model.name, f"does not take pictures of {side}×{side} pixels ({error})") from error


def _only_matrix(model: Model, network: Any) -> Any:
    """The one output `(n, dims)`."""
    batch = network.input().shape[0]
    wanted = type(network.input().partial_shape)([batch, model.dims])
    matrices = [node for node in network.outputs if node.partial_shape.same_scheme(wanted)]
    if len(matrices) != 1:
        found = "; ".join(str(node.partial_shape) for node in network.outputs)
        raise BadModel(
            model.name,
            f"gives {found} for {batch} pictures; expected is one matrix [{batch},{model.dims}], as declared",
        )
    return matrices[0].get_node().input_value(0)
