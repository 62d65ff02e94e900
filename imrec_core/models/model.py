"""Model: declaration of a pretrained network, its weights, preprocessing, licence and source."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path

from imrec_core.images.preprocess import Preprocess


@dataclass(frozen=True)
class Model:
    """A pretrained model.

    Attributes:
        name: Name of the model and of its feature.
        loader: Key in `libraries.LOADERS`.
        weights: Name of the weights in the library; `module:function` of a Python module.
        sha256: SHA-256 of the weights file; empty if none is published.
        dims: Length of the embedding.
        pca_dims: Length of the content vector; see `features.searched`.
        architecture: Name of the architecture in the library.
        stored: Location of the weights in the library's cache: a file name, or a repository on the Hugging Face hub,
            with the name of a file in it if that is unusual.
        pool: Pooling of a transformer's tokens in timm; empty for the default of timm.
        extra: Extra of imrec that installs the library; None if imrec always installs it.
        text: Whether a text tower embeds text in the space of images.
        file: Weights file of a custom model.
        sides: Sides of the input in pixels for the qualities below the best, ascending; empty for a network that takes
            one size only.
        is_reduced: Whether the input has one of `sides`; see `quality.with_quality`.
        batch: Maximum number of images per pass on the CPU, unless a lake sets another number.
        by_name: Whether `lake.toml` names it as its library does.
        verified: Whether its vectors were compared with those of the library on its published weights.
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
    pool: str = ""
    extra: str | None = None
    text: bool = False
    file: Path | None = None
    sides: tuple[int, ...] = ()
    is_reduced: bool = False
    batch: int = 16
    by_name: bool = False
    verified: bool = False

    @property
    def is_custom(self) -> bool:
        """Whether `lake.toml` gives its weights: a file or a function."""
        return self.file is not None or self.loader == "module"

    @property
    def identity(self) -> str:
        """Digest of the weights if known, otherwise their name.

        It changes whenever the embeddings change. For a model of `lake.toml` it also covers the declaration, which a
        user may edit at any time.
        """
        if not (self.is_custom or self.by_name):
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
    """Return the source file of the Python module in `module:function`, without running code of it or its packages."""
    top, *names = target.partition(":")[0].split(".")
    try:
        spec = importlib.util.find_spec(top)  # of a dotted name it would import the packages
        for name in names:
            if spec is None or spec.submodule_search_locations is None:
                return None
            spec = PathFinder.find_spec(f"{spec.name}.{name}", list(spec.submodule_search_locations))
    except (ImportError, ValueError):  # ValueError: an empty name, or a module that was made by hand
        return None
    return Path(spec.origin) if spec and spec.origin and spec.has_location else None
