"""Custom models: networks that a lake declares in `[models]` of its `lake.toml`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from imrec_core.errors import BadSettings, UnknownName
from imrec_core.images.preprocess import FITS, INTERPOLATIONS, Preprocess, Triple
from imrec_core.lake.storage.files import AnyPath, below
from imrec_core.models.model import Model
from imrec_core.models.registry import IMAGENET_MEAN, IMAGENET_STD
from imrec_core.runtime.numbers import finite_number, shorten

# Libraries whose models a lake may use with custom weights, and the extra that installs each.
LIBRARIES: dict[str, str | None] = {"torchvision": None, "timm": "timm", "open_clip": "clip", "dreamsim": "dreamsim"}

_BY_SUFFIX = {".onnx": "onnx", ".pt": "torchscript", ".pth": "torchscript", ".ts": "torchscript"}
_KEYS = (
    "file", "module", "loader", "architecture", "dims", "resize", "crop", "fit", "interpolation", "mean", "std",
    "pca_dims", "summary", "licence", "source",
)  # fmt: skip


def custom_model(name: str, table: Mapping[str, Any], base: AnyPath) -> Model:
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
        pca_dims=declared.count("pca_dims", min(256, dims), most=dims),
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
            raise self.error(f"{key} is {shorten(value)}; expected a whole number from {least} to {most}")
        return value

    def triple(self, key: str, default: Triple) -> Triple:
        value = self._table.get(key, default)
        if (
            not isinstance(value, (list, tuple))
            or len(value) != 3
            or not all(type(number) in (int, float) and finite_number(number) is not None for number in value)
        ):
            raise self.error(f"{key} is {shorten(value)}; expected three numbers, for red, green and blue")
        red, green, blue = map(float, value)
        return red, green, blue
