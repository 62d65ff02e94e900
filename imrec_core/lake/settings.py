"""The settings of a lake, as declared in `lake.toml`.

Each setting is one field of `Settings`. `settings_file` parses and renders the fields.
"""

from __future__ import annotations

import functools
import logging
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from imrec_core.errors import BadSettings, UnknownName
from imrec_core.lake.former_names import former_names
from imrec_core.lake.overlaps import overlapping_source
from imrec_core.lake.source_names import absolute_place, canonical, check_source_name, free_name, parse_source, slug
from imrec_core.lake.storage.files import AnyPath

log = logging.getLogger(__name__)

DEFAULT_FEATURES = (
    "efficientnet_lite0",
    "rgb_histogram",
    "hsv_histogram",
    "ahash",
    "dhash",
    "phash",
)

RAW_EXTENSIONS = (
    "3fr", "arw", "cr2", "cr3", "crw", "dcr", "dng", "erf", "iiq", "kdc", "mef", "mos", "mrw", "nef", "nrw", "orf",
    "pef", "raf", "raw", "rw2", "rwl", "sr2", "srf", "srw", "x3f",
)  # fmt: skip
"""Camera RAW files, of all makers."""

EXTENSIONS = (
    "jpg", "jpeg", "jpe", "jfif", "png", "webp", "gif", "bmp", "tif", "tiff", "avif", "jp2",
    "ppm", "pgm", "pbm", "pnm", "tga", "ico", "heic", "heif", "jxl", *RAW_EXTENSIONS,
)  # fmt: skip

MAX_CALIBRATION_COPIES = 10_000

MAX_LOST_DAYS = 36_500

LEAST_THUMBNAIL_MB = 100  # so that each of the 256 folders has room for two large thumbnails

_MODEL_OPTIONS = {
    "batch": (1, 1024),  # decoded images of 150 kB each, more before they are cropped
    "neighbourhood": (0, 100),
}
"""Smallest and largest value by option."""

PRECISIONS = ("auto", "bf16", "fp32")

QUALITIES = ("fast", "balanced", "best")

RENAMED = {
    "true_pairs": "calibration_copies",
    "precision": "inference_precision",
    "hidden": "scan_hidden",
    "networks": "model_options",
    "nightly_scan": "dagster.scan_schedule",
    "nightly_reindex": "dagster.reindex_schedule",
}
"""Setting of version 0.1 → its name now, behind the name of its table and a dot where it is in one."""


@dataclass(frozen=True)
class Source:
    """A named root folder, on a disk or in an object store."""

    name: str
    root: AnyPath


@dataclass(frozen=True)
class IndexParams:
    """Parameters of an HNSW graph.

    Attributes:
        m: Links per node.
        ef_construction: Size of the candidate list while building; 0 for 100, or less for a graph that needs less (see
            `index/hnsw.py`).
        ef: Size of the candidate list while searching; 0 for the smallest that reaches the target recall.
        candidates: Minimum number of rows to take from the graph for exact re-ranking.
    """

    m: int = 16
    ef_construction: int = 0
    ef: int = 0
    candidates: int = 100

    @classmethod
    def of(cls, name: str, table: Mapping[str, Any]) -> IndexParams:
        """Parse a table of `lake.toml`.

        Raises:
            BadSettings: A parameter is unknown or out of range.
        """
        known = [f.name for f in fields(cls)]
        for key, value in table.items():
            if key not in known:
                raise BadSettings(f"lake.toml: indexes.{name}: {UnknownName('setting', key, known)}")
            least = {"m": 2, "ef": 0, "ef_construction": 0}.get(key, 1)
            if type(value) is not int or not least <= value <= 10_000:
                raise BadSettings(f"lake.toml: indexes.{name}: {key} is {value!r}; it must be from {least} to 10000")
        return cls(**table)


@dataclass(frozen=True)
class Settings:
    """The settings of one lake.

    Attributes:
        sources: Root folders by source name, in the order of the file.
        features: Names of the features to extract from every image.
        quality: `fast`, `balanced` or `best`: the size of the images that networks see, and the length of the vectors
            by which searches compare content. New lakes have `balanced`. A change recomputes the vectors of all
            images.
        shard_size: Maximum number of images per shard.
        max_pixels: Maximum number of pixels of an image. Larger images fail before they are decoded.
        allow_truncated: Whether to extract what is left of images that lost pixels. Such images are marked as damaged.
        calibration_copies: Number of images from which a build makes edited copies, to measure the distances of copies.
            Up to one second per image; 0 for none.
        inference_precision: Precision of the networks: `bf16`, `fp32`, or `auto` for the fastest on this machine.
        extensions: File name extensions of images, without the dot and in any case; `*` accepts every file.
        scan_hidden: Whether to scan folders whose name begins with a dot.
        exclude: Files and folders to leave out, as patterns of gitignore; `!pattern` includes what is left out by
            default.
        limit: Maximum number of images of each source: the first by path; 0 for all.
        thumbnail_mb: Limit in MB of the thumbnail cache, which keeps the most recently used: at least 100, or 0 for no
            cache.
        keep_lost_days: Days for which the vectors of images are kept that are gone at once, as when a disk is not
            mounted; 0 to keep none.
        search_log: Share of the searches from Python and HTTP, 0 to 1, that the view `runs` lists.
        columns: Files (Parquet or CSV) whose columns are joined to the images, by `image_id` or `path`.
        model_options: Options of a network, by its name: `batch`, the images per pass of a device, and `neighbourhood`,
            the number of nearest images with which each is averaged for the feature `NAME_neighbours`.
        models: Your own networks, by name.
        histograms: Your own colour histograms, by name: `space` (`rgb`, `hsv`, `lab`), `levels` (three numbers),
            `joint`, `all_pixels`.
        projections: Features learnt from the vectors of another feature, by name: `base`, `dims`, `method`, and the
            parameters of the method.
        combined: Early fusion: features whose vectors form one vector, by name, with weights of features or
            `feature:metric`.
        mixes: Late fusion: features whose scores are fused, by name, with weights of features or `feature:metric`.
        indexes: HNSW parameters by `feature` or `feature:metric`: `m`, `ef_construction`, `ef`, `candidates`.
        renamed_sources: Former names of sources, with the next `name` and the `version`; of `imrec sources rename`.
        dagster: Schedules, size of runs, executor and owner of the assets; `imrec_dagster` validates them.
    """

    sources: Mapping[str, AnyPath] = field(default_factory=dict)
    features: tuple[str, ...] = DEFAULT_FEATURES
    quality: str = "best"
    shard_size: int = 4096
    max_pixels: int = 200_000_000
    allow_truncated: bool = False
    calibration_copies: int = 0
    inference_precision: str = "auto"
    extensions: tuple[str, ...] = EXTENSIONS
    scan_hidden: bool = False
    exclude: tuple[str, ...] = ()
    limit: int = 0
    thumbnail_mb: int = 2000
    keep_lost_days: int = 30
    search_log: float = 0.0
    columns: tuple[str, ...] = ()
    model_options: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    histograms: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    projections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    combined: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    mixes: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    indexes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    renamed_sources: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    dagster: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, least in (("shard_size", 1), ("max_pixels", 1), ("limit", 0)):
            if getattr(self, name) < least:
                raise BadSettings(f"lake.toml: {name} is {getattr(self, name)}; it must be {least} or more")
        most = {"calibration_copies": MAX_CALIBRATION_COPIES, "keep_lost_days": MAX_LOST_DAYS, "search_log": 1}
        for name, limit in most.items():
            if not 0 <= getattr(self, name) <= limit:
                raise BadSettings(f"lake.toml: {name} is {getattr(self, name)}; it must be from 0 to {limit}")
        if self.thumbnail_mb and self.thumbnail_mb < LEAST_THUMBNAIL_MB:
            expected = f"{LEAST_THUMBNAIL_MB} or more, or 0 for none"
            raise BadSettings(f"lake.toml: thumbnail_mb is {self.thumbnail_mb}; it must be {expected}")
        if self.inference_precision not in PRECISIONS:
            precision = repr(self.inference_precision)
            raise BadSettings(f"lake.toml: inference_precision is {precision}; use one of {', '.join(PRECISIONS)}")
        if self.quality not in QUALITIES:
            raise BadSettings(f"lake.toml: quality is {self.quality!r}; use one of {', '.join(QUALITIES)}")
        for name, table in self.model_options.items():
            _check_model_options(name, table)
        for name in self.sources:
            check_source_name(name)
        for name, table in self.renamed_sources.items():
            if set(table) != {"name", "version"} or not all(isinstance(value, str) for value in table.values()):
                found = dict(table)
                raise BadSettings(f"lake.toml: renamed_sources.{name}: expected name and version, found {found!r}")

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Return the value of a setting under its name in version 0.1."""
            new = RENAMED.get(name, ".")
            if "." in new:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            warnings.warn(f"Settings.{name} is deprecated; use {new}", DeprecationWarning, stacklevel=2)
            return getattr(self, new)

    def source(self, name: str) -> Source:
        """Return the source of that name, or of that former name.

        Raises:
            UnknownName: There is no such source.
        """
        name = self.former_names.get(name, name)
        if name not in self.sources:
            raise UnknownName("source", name, self.sources)
        return Source(name, self.sources[name])

    @functools.cached_property
    def former_names(self) -> Mapping[str, str]:
        """Names of sources by their former names, as far as these still resolve."""
        return former_names(self.renamed_sources, self.sources) if self.renamed_sources else {}

    @property
    def roots(self) -> dict[str, AnyPath]:
        """Root folders by name of the source, and by its former names."""
        return {**{former: self.sources[name] for former, name in self.former_names.items()}, **self.sources}

    def batch_of(self, network: str) -> int | None:
        """Return the batch size set for a network; None if none is set."""
        return self.model_options.get(network, {}).get("batch")

    def neighbourhood_of(self, network: str) -> int:
        """Return the number of images in the neighbourhoods of a network; 0 if they are not averaged."""
        return self.model_options.get(network, {}).get("neighbourhood", 0)

    def with_folders(self, folders: Iterable[str]) -> Settings:
        """Return these settings with sources added; an existing folder keeps its name.

        A folder that is a source already by another path, such as a link, is not added; a line is logged.

        Args:
            folders: `FOLDER` or `NAME=FOLDER`.

        Raises:
            BadSettings: The text is empty, the name belongs to another folder, the folder has another name, or it
                contains or is inside a source.
        """
        sources = dict(self.sources)
        for text in folders:
            name, root = parse_source(text)
            known = overlapping_source(sources, root)
            if known is not None and name in (None, known):
                if sources[known] != root:
                    log.warning("%s is source %r already, as %s; it is not added again", root, known, sources[known])
                continue
            if known is not None:
                raise BadSettings(f"{root} is source {known!r} already; its images would be there twice")
            if name is None:
                name = free_name(slug(root.name) or "photos", sources)
            elif name in sources:
                raise BadSettings(f"source {name!r} is {sources[name]} already; choose another name for {root}")
            sources[name] = root
        return replace(self, sources=sources)

    def with_place(self, name: str, place: str) -> Settings:
        """Return these settings with another root folder of a source.

        Raises:
            UnknownName: There is no such source.
            BadSettings: The text is empty, or the folder is, contains or is inside another source.
        """
        name = self.source(name).name
        root = absolute_place(place)
        known = overlapping_source({other: folder for other, folder in self.sources.items() if other != name}, root)
        if known is not None:
            raise BadSettings(f"{root} is source {known!r} already; its images would be there twice")
        return replace(self, sources={**self.sources, name: root})

    def with_columns(self, files: Iterable[str]) -> Settings:
        """Return these settings with files of columns added as absolute paths; existing files stay."""
        existing = set(map(canonical, self.columns))
        new = {canonical(file): file for file in map(str, map(absolute_place, files))}
        return replace(self, columns=(*self.columns, *(text for file, text in new.items() if file not in existing)))

    def without_columns(self, files: Iterable[str]) -> Settings:
        """Return these settings without some files of columns.

        Raises:
            BadSettings: A file is not in the settings.
        """
        dropped = {canonical(str(absolute_place(file))) for file in files}
        for file in sorted(dropped - set(map(canonical, self.columns))):
            known = ", ".join(self.columns) or "none"
            raise BadSettings(f"{file} is not among the files of columns; these are: {known}")
        return replace(self, columns=tuple(file for file in self.columns if canonical(file) not in dropped))


def _check_model_options(name: str, table: Mapping[str, Any]) -> None:
    for key, value in table.items():
        if key not in _MODEL_OPTIONS:
            raise BadSettings(f"lake.toml: model_options.{name}: {UnknownName('setting', key, _MODEL_OPTIONS)}")
        least, most = _MODEL_OPTIONS[key]
        if type(value) is not int or not least <= value <= most:
            found = f"{key} is {value!r}; it must be from {least} to {most}"
            raise BadSettings(f"lake.toml: model_options.{name}: {found}")
