"""What `lake.toml` holds: the sources of a lake and how it is built.

A setting is declared once, as a field of `Settings`; reading and writing, in `settings_file`, follow from it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from imrec_core.errors import BadSettings, UnknownName
from imrec_core.lake.storage.files import AnyPath, is_url, place

DEFAULT_FEATURES = (
    "efficientnet_lite0",
    "efficientnet_lite0_pca",
    "rgb_histogram",
    "hsv_histogram",
    "ahash",
    "dhash",
    "phash",
)

EXTENSIONS = (
    "jpg", "jpeg", "jpe", "jfif", "png", "webp", "gif", "bmp", "tif", "tiff", "avif", "jp2",
    "ppm", "pgm", "pbm", "pnm", "tga", "ico", "heic", "heif",
)  # fmt: skip

MAX_TRUE_PAIRS = 10_000

LEAST_THUMBNAIL_MB = 100  # of which each of 256 folders has room for two large ones at least

_MOST_BATCH = 1024  # pictures, decoded, of 150 kB each and of more before they are cut

PRECISIONS = ("auto", "bf16", "fp32")

_NAME = re.compile(r"\w+([.-]\w+)*")  # safe in file names, SQL strings and Dagster's partition ranges


@dataclass(frozen=True)
class Source:
    """A named root folder, on a disk or in an object store."""

    name: str
    root: AnyPath


@dataclass(frozen=True)
class IndexParams:
    """How an HNSW graph is built and asked.

    Attributes:
        m: Links of a node.
        ef_construction: Breadth of the search for them.
        ef: Breadth of a search; 0 for the least that reaches the wanted recall, found by measuring.
        candidates: Rows taken from a graph before exact re-ranking, at least.
    """

    m: int = 16
    ef_construction: int = 100
    ef: int = 0
    candidates: int = 100

    @classmethod
    def of(cls, name: str, table: Mapping[str, Any]) -> IndexParams:
        """From a table of `lake.toml`.

        Raises:
            BadSettings: It says something that cannot be.
        """
        known = [f.name for f in fields(cls)]
        for key, value in table.items():
            if key not in known:
                raise BadSettings(f"lake.toml: indexes.{name}: {UnknownName('setting', key, known)}")
            least = {"m": 2, "ef": 0}.get(key, 1)
            if type(value) is not int or not least <= value <= 10_000:
                raise BadSettings(f"lake.toml: indexes.{name}: {key} is {value!r}; it must be from {least} to 10000")
        return cls(**table)


@dataclass(frozen=True)
class Settings:
    """The settings of one lake, as `lake.toml` gives them.

    Attributes:
        sources: Name to root folder, in the order of the file.
        features: Names of the features that every image gets.
        shard_size: Images in a shard, at most.
        max_pixels: A picture with more is failed as too large, before it is decoded.
        true_pairs: Photos of which edited copies are made when a generation is built, to know how near copies are; 0
            for none.
        precision: Arithmetic of the networks: `bf16`, `fp32`, or `auto` for the fastest of this machine.
        extensions: Files to take, without the dot, letter case ignored; `*` takes every file.
        hidden: Whether folders whose name begins with a dot are scanned too.
        thumbnail_mb: Millions of bytes that thumbnails of the page may take: those looked at last are kept. At
            least 100, or 0 for none.
        columns: Files (Parquet or CSV) whose columns are joined to the images, by `image_id` or `path`.
        networks: How networks are run, by name: `batch`, the pictures that one takes at a time.
        models: Networks of your own, by name; `imrec_core.models.custom.own_model` says what a table holds.
        histograms: Colour histograms of your own: `space` (`rgb`, `hsv`, `lab`), `levels` (three numbers), `joint`,
            `all_pixels`.
        projections: Features learnt from the vectors of another: `base`, `dims`, `method`, and what the method takes.
        combined: Several features as one: their names, or `feature:metric`, with weights.
        mixes: Weights of features (or `feature:metric`) that are searched by together, by the name of the mix.
        indexes: HNSW parameters by `feature` or `feature:metric`: `m`, `ef_construction`, `ef`, `candidates`.
        dagster: Settings of `imrec_dagster`, which checks them; this package does not read them.
    """

    sources: Mapping[str, AnyPath] = field(default_factory=dict)
    features: tuple[str, ...] = DEFAULT_FEATURES
    shard_size: int = 4096
    max_pixels: int = 200_000_000
    true_pairs: int = 0
    precision: str = "auto"
    extensions: tuple[str, ...] = EXTENSIONS
    hidden: bool = False
    thumbnail_mb: int = 2000
    columns: tuple[str, ...] = ()
    networks: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    histograms: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    projections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    combined: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    mixes: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    indexes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    dagster: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("shard_size", "max_pixels"):
            if getattr(self, name) < 1:
                raise BadSettings(f"lake.toml: {name} is {getattr(self, name)}; it must be 1 or more")
        if not 0 <= self.true_pairs <= MAX_TRUE_PAIRS:
            found = self.true_pairs
            raise BadSettings(f"lake.toml: true_pairs is {found}; it must be from 0 to {MAX_TRUE_PAIRS}")
        if self.thumbnail_mb and self.thumbnail_mb < LEAST_THUMBNAIL_MB:
            found = self.thumbnail_mb
            raise BadSettings(
                f"lake.toml: thumbnail_mb is {found}; it must be {LEAST_THUMBNAIL_MB} or more, or 0 for none"
            )
        if self.precision not in PRECISIONS:
            raise BadSettings(f"lake.toml: precision is {self.precision!r}; use one of {', '.join(PRECISIONS)}")
        for name, table in self.networks.items():
            _check_network(name, table)
        for name in self.sources:
            if not _NAME.fullmatch(name):
                raise BadSettings(
                    f"source name {name!r} will not do; use letters, digits, '_', single '-' or '.', "
                    f"for example {slug(name)!r}"
                )

    def source(self, name: str) -> Source:
        """The source of that name.

        Raises:
            UnknownName: There is none.
        """
        if name not in self.sources:
            raise UnknownName("source", name, self.sources)
        return Source(name, self.sources[name])

    def batch_of(self, network: str) -> int | None:
        """The pictures that a network is to take at a time; None where nothing is said."""
        return self.networks.get(network, {}).get("batch")

    def with_folders(self, folders: Iterable[str]) -> Settings:
        """These settings with `FOLDER` or `NAME=FOLDER` added; a folder that is known stays what it is.

        Raises:
            BadSettings: A name is taken by another folder, or the folder has another name.
        """
        sources = dict(self.sources)
        for text in folders:
            name, root = _split(text)
            known = next((other for other, folder in sources.items() if folder == root), None)
            if known is not None and name in (None, known):
                continue
            if known is not None:
                raise BadSettings(f"{root} is source {known!r} already; its images would be there twice")
            if name is None:
                name = _free_name(slug(root.name) or "photos", sources)
            elif name in sources:
                raise BadSettings(f"source {name!r} is {sources[name]} already; choose another name for {root}")
            sources[name] = root
        return replace(self, sources=sources)

    def with_columns(self, files: Iterable[str]) -> Settings:
        """These settings with files of columns added, by absolute paths; one that is there already stays."""
        there = set(map(canonical, self.columns))
        new = {canonical(file): file for file in map(str, map(_absolute, files))}
        return replace(self, columns=(*self.columns, *(text for file, text in new.items() if file not in there)))

    def without_columns(self, files: Iterable[str]) -> Settings:
        """These settings without files of columns.

        Raises:
            BadSettings: One is not among them.
        """
        dropped = {canonical(str(_absolute(file))) for file in files}
        for file in sorted(dropped - set(map(canonical, self.columns))):
            known = ", ".join(self.columns) or "none"
            raise BadSettings(f"{file} is not among the files of columns; these are: {known}")
        return replace(self, columns=tuple(file for file in self.columns if canonical(file) not in dropped))


def _check_network(name: str, table: Mapping[str, Any]) -> None:
    for key, value in table.items():
        if key != "batch":
            raise BadSettings(f"lake.toml: networks.{name}: {UnknownName('setting', key, ['batch'])}")
        if type(value) is not int or not 1 <= value <= _MOST_BATCH:
            raise BadSettings(f"lake.toml: networks.{name}: batch is {value!r}; it must be from 1 to {_MOST_BATCH}")


def slug(text: str) -> str:
    """`text` as a source name: accents dropped, what is no letter or digit becomes one '-'."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9_]+", "-", plain).strip("-").lower()


def _split(text: str) -> tuple[str | None, AnyPath]:
    name, equals, folder = text.partition("=")
    if equals and "/" not in name and not Path(text).exists():
        return name, _absolute(folder)
    return None, _absolute(text)


def _absolute(text: str) -> AnyPath:
    return place(text) if is_url(text) else Path(text).expanduser().absolute()


def canonical(file: str) -> str:
    """The path or URL of a file in one spelling, equal for all that mean the same file."""
    return file if is_url(file) else str(Path(file).resolve())


def _free_name(name: str, taken: Mapping[str, AnyPath]) -> str:
    candidates = (name if n == 1 else f"{name}-{n}" for n in range(1, len(taken) + 2))
    return next(c for c in candidates if c not in taken)
