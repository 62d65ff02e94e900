"""The manifest of a generation, `generation.json`: its format and validation, and the names of the other files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from imrec_core.errors import DamagedGeneration, StaleIndex, UnreadableGeneration
from imrec_core.extraction.staleness import feature_fingerprint
from imrec_core.features import Feature
from imrec_core.features.searched import declarations
from imrec_core.lake.checksums import checksum as checksum_of
from imrec_core.lake.lake import GENERATION_FACTS
from imrec_core.lake.storage.file_locks import hold

FORMAT = 5  # of generation.json; incremented when older versions of imrec cannot read it
_READABLE_FORMATS = (2, 3, 4, FORMAT)  # 2: no removed rows; 3: graphs hold every row; 4: and all dims
_VECTOR_SUFFIX, _GRAPH_SUFFIX, _AXES_SUFFIX = ".npy", ".hnsw", ".axes"
_REDUCED_FACTOR = 4  # rows to take from a graph with reduced dims, per row that is needed
_UNINDEXED_ROWS = "tail"  # key of `HnswIndexInfo.unindexed_rows` in generation.json


@dataclass(frozen=True)
class HnswIndexInfo:
    """How an HNSW graph was built, and how it is queried.

    Attributes:
        m: Links per row.
        ef_construction: Size of the candidate list during construction.
        ef: Size of the candidate list of a query. hnswlib does not store it in its file.
        candidates: Minimum number of rows taken from the graph before exact re-ranking.
        recall: Measured recall@10 of search through this graph, by the features that use it: `feature` for the default
            metric, `feature:metric` for others.
        unindexed_rows: Number of last rows that are not in the graph yet; queries compare with them exactly.
        dims: Number of dims of the points in the graph; 0 for all of the lifted vectors. See `graph_space`.
        has_axes: Whether these are dims along principal axes, which have a file, and not the leading ones.
    """

    feature: str
    metric: str
    m: int
    ef_construction: int
    ef: int
    candidates: int
    recall: dict[str, float] = field(default_factory=dict)
    unindexed_rows: int = 0
    dims: int = 0
    has_axes: bool = False

    def candidates_for(self, count: int) -> int:
        """Return how many rows to take from the graph so that the `count` nearest are among them.

        The order of a graph with reduced dims is only nearly that of the distances.
        """
        return max(_REDUCED_FACTOR * count, self.candidates) if self.dims else count

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> HnswIndexInfo:
        """Read the entry of a graph in `generation.json`; formats 2 and 3 have no `tail`, 4 no `dims`."""
        values = dict(stored)
        unindexed_rows = values.pop(_UNINDEXED_ROWS, 0)
        return cls(**values, unindexed_rows=unindexed_rows)

    def to_dict(self) -> dict[str, Any]:
        """Return the entry of the graph in `generation.json`."""
        values = asdict(self)
        values[_UNINDEXED_ROWS] = values.pop("unindexed_rows")
        return values


def hold_manifest(folder: Path) -> IO[bytes]:
    """Prevent the removal of a generation's folder until the returned file is closed.

    Raises:
        UnreadableGeneration: The manifest cannot be opened.
    """
    try:
        return hold(folder / GENERATION_FACTS)
    except OSError as error:
        raise UnreadableGeneration(folder / GENERATION_FACTS, error) from error


def read_manifest(folder: Path, checksum: str | None = None) -> dict[str, Any]:
    """Read a generation's manifest.

    Args:
        checksum: Checksum of the manifest by `CURRENT`, if known.

    Raises:
        DamagedGeneration: The manifest differs from its checksum, is no manifest, or cannot be read.
        StaleIndex: This imrec cannot read the format.
    """
    path = folder / GENERATION_FACTS
    try:
        data = path.read_bytes()
        facts: dict[str, Any] = json.loads(data)
        found = facts.get("format")
    except OSError as error:
        raise UnreadableGeneration(path, error) from error
    except (ValueError, AttributeError) as error:
        raise DamagedGeneration(path, f"is damaged ({error})") from error
    if checksum and checksum_of(data) != checksum:
        raise DamagedGeneration(path, "differs from its checksum")
    if found not in _READABLE_FORMATS:
        raise StaleIndex(f"generation {folder.name} has format {found}, this imrec reads {FORMAT}")
    return facts


def check_sizes(folder: Path, facts: Mapping[str, Any]) -> list[DamagedGeneration]:
    """Find the graphs that are missing or have another size; searches do without them.

    Raises:
        DamagedGeneration: Another file is missing or has another size.
    """
    damaged = []
    for name, size in facts["files"].items():
        path = folder / name
        found = path.stat().st_size if path.exists() else None
        has_grown = found is not None and found > size and is_vector_file(name)  # newer generations share the file
        if found != size and not has_grown:
            error = DamagedGeneration(
                path, f"{'is missing' if found is None else f'has {found} bytes'}, expected {size} bytes"
            )
            if not name.endswith((_GRAPH_SUFFIX, _AXES_SUFFIX)):
                raise error
            damaged.append(error)
    return damaged


def feature_record(feature: Feature) -> dict[str, Any]:
    """Record the declaration of a feature and its bases, to compare it when the generation is opened."""
    record = {"dtype": feature.dtype, "width": feature.width, **feature_fingerprint(feature)}
    return {**record, "bases": [feature_record(base) for base in feature.bases]} if feature.bases else record


def declaration_of(name: str, record: Mapping[str, Any], known: Mapping[str, Feature]) -> Feature | None:
    """Return the declaration by which an entry of a generation was made; None if that has changed since."""
    possible = declarations(name, record, known)
    return next((feature for feature in possible if feature_record(feature).items() <= record.items()), None)


def vector_file_name(feature: str) -> str:
    """Return the file name of a feature's vectors in the generation's folder."""
    return feature + _VECTOR_SUFFIX


def is_vector_file(name: str) -> bool:
    """Return whether a file of a generation has vectors."""
    return name.endswith(_VECTOR_SUFFIX)


def graph_file_name(graph: HnswIndexInfo) -> str:
    """Return the file name of a graph in the generation's folder."""
    return f"{graph.feature}.{graph.metric}{_GRAPH_SUFFIX}"


def axes_file_name(graph: HnswIndexInfo) -> str:
    """Return the file name of the principal axes of a graph in the generation's folder."""
    return f"{graph.feature}.{graph.metric}{_AXES_SUFFIX}"


def graph_files(graph: HnswIndexInfo) -> tuple[str, ...]:
    """Return the names of all files of a graph in the generation's folder."""
    return (graph_file_name(graph), axes_file_name(graph)) if graph.has_axes else (graph_file_name(graph),)
