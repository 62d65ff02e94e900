"""Custom models: networks that a lake declares in `[models]` of its `lake.toml`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from imrec_core.errors import BadSettings, DeclarationError, MissingDependency, UnknownName
from imrec_core.images.preprocess import FITS, INTERPOLATIONS, Preprocess, Triple
from imrec_core.lake.storage.files import AnyPath, below
from imrec_core.models.library_config import NAMED, LibraryModel, library_model
from imrec_core.models.model import Model
from imrec_core.models.registry import IMAGENET_MEAN, IMAGENET_STD
from imrec_core.runtime.numbers import finite_number, shorten

# Libraries whose models a lake may use with custom weights, and the extra that installs each.
LIBRARIES: dict[str, str | None] = {"torchvision": None, "timm": "timm", "open_clip": "clip", "dreamsim": "dreamsim"}

_BY_SUFFIX = {".onnx": "onnx", ".pt": "torchscript", ".pth": "torchscript", ".ts": "torchscript"}
_KEYS = (
    *NAMED, "file", "module", "loader", "architecture", "dims", "resize", "crop", "fit", "interpolation", "mean", "std",
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
        MissingDependency: The table names a model of a library that is not installed.
    """
    declared = _Table(name, table)
    file = declared.text("file")
    path = _local_file(name, base, file) if file else None
    library = next((library for library in NAMED if declared.text(library)), None)
    if library:
        return _named_model(name, declared, library, path)
    loader, extra = _read_loader(declared)
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
        file=path,
    )


def _named_model(name: str, declared: _Table, library: str, file: Path | None) -> Model:
    """Read a model that has the name of its library; the library knows what the table does not say."""
    label = declared.text(library)
    others = [key for key in (*NAMED, "loader", "architecture", "module") if key != library and declared.text(key)]
    if others:
        raise declared.error(f"has both {library!r} and {others[0]!r}; use one of them")
    try:
        found = library_model(library, label)
    except MissingDependency:
        raise
    except DeclarationError as error:
        raise declared.error(str(error)) from error
    if not found.stored and file is None:
        raise declared.error(f"{library} publishes no weights of {label}; give a checkpoint as 'file'")
    if declared.count("dims", found.dims, least=2) != found.dims:
        raise declared.error(f"{label} of {library} has {found.dims} dims; leave out 'dims'")
    return Model(
        name=name,
        summary=declared.text("summary", f"Embedding by {label} of {library}."),
        loader=library,
        weights=found.weights,
        sha256="",
        dims=found.dims,
        pca_dims=declared.count("pca_dims", min(256, found.dims), most=found.dims),
        preprocess=_read_preprocess(declared, found),
        licence=declared.text("licence", found.licence or f"not stated by {library}"),
        source=declared.text("source", f"{library} {label}"),
        architecture=found.architecture,
        stored=found.stored,
        extra=NAMED[library].extra,
        text=library == "open_clip",
        file=file,
        by_name=True,
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


def _read_preprocess(declared: _Table, found: LibraryModel | None = None) -> Preprocess:
    """Read the preprocessing; what the table does not say is that of the library, or a default."""
    crop = declared.count("crop", found.crop if found else None)
    resize = declared.count("resize", round(crop * found.resize / found.crop) if found else crop)
    if resize < crop:
        raise declared.error(f"crop is {crop}; expected at most resize, which is {resize}")
    std = declared.triple("std", found.std if found else IMAGENET_STD)
    if min(std) <= 0:
        raise declared.error(f"std is {list(std)}; expected numbers above 0")
    return Preprocess(
        resize,
        crop,
        declared.triple("mean", found.mean if found else IMAGENET_MEAN),
        std,
        fit=declared.choice("fit", FITS, found.fit if found else None),
        interpolation=declared.choice("interpolation", INTERPOLATIONS, found.interpolation if found else None),
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

    def choice(self, key: str, choices: Sequence[str], default: str | None = None) -> str:
        """Return one of the choices; without a default the first."""
        value = self.text(key, default or choices[0])
        if value not in choices and key not in self._table:
            raise self.error(f"the library has {key} {value!r}, which imrec lacks; set {key} to {' or '.join(choices)}")
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
