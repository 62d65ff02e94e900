"""The record of a generation, `generation.json`: its format, the checks when it is read, and the names of its files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from imrec_core.errors import StaleIndex
from imrec_core.extraction.staleness import feature_fingerprint
from imrec_core.features import Feature
from imrec_core.lake.lake import GENERATION_FACTS
from imrec_core.lake.storage.file_locks import hold

FORMAT = 4  # of generation.json; goes up when an older imrec could not read it
_READ = (2, 3, FORMAT)  # 2: no rows are removed; 3: every row is in the graphs
_GROWING = ".npy"
_UNINDEXED_ROWS = "tail"  # what generation.json calls `HnswIndexInfo.unindexed_rows`


@dataclass(frozen=True)
class HnswIndexInfo:
    """How an HNSW graph was built, and how it is queried.

    Attributes:
        m: Links per row.
        ef_construction: Size of the candidate list while it was built.
        ef: Size of the candidate list of a query; hnswlib does not store it in its file.
        candidates: Rows taken from the graph before exact re-ranking, at least.
        recall: Measured recall@10 of search through this graph, by the features that use it, in their default metric
            or as `feature:metric`.
        unindexed_rows: Rows at the end that are not in the graph yet; queries scan them.
    """

    feature: str
    metric: str
    m: int
    ef_construction: int
    ef: int
    candidates: int
    recall: dict[str, float] = field(default_factory=dict)
    unindexed_rows: int = 0

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> HnswIndexInfo:
        """Read what `to_dict` wrote; generations of formats 2 and 3 have no `tail`."""
        values = dict(stored)
        unindexed_rows = values.pop(_UNINDEXED_ROWS, 0)
        return cls(**values, unindexed_rows=unindexed_rows)

    def to_dict(self) -> dict[str, Any]:
        """The entry of the graph in `generation.json`."""
        values = asdict(self)
        values[_UNINDEXED_ROWS] = values.pop("unindexed_rows")
        return values


def hold_manifest(folder: Path) -> IO[bytes]:
    """Keep a generation's folder from being removed until the returned file is closed.

    Raises:
        StaleIndex: The manifest cannot be opened.
    """
    try:
        return hold(folder / GENERATION_FACTS)
    except OSError as error:
        raise StaleIndex(f"generation {folder.name}: {GENERATION_FACTS} cannot be read ({error})") from error


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read a generation's manifest and check its format and the sizes of its files.

    Raises:
        StaleIndex: A file is missing, of another size, or of a version that this imrec does not read.
    """
    try:
        facts: dict[str, Any] = json.loads((folder / GENERATION_FACTS).read_text())
    except (OSError, ValueError) as error:
        raise StaleIndex(f"generation {folder.name}: generation.json cannot be read ({error})") from error
    if facts.get("format") not in _READ:
        raise StaleIndex(f"generation {folder.name} has format {facts.get('format')}, this imrec reads {FORMAT}")
    for name, size in facts["files"].items():
        path = folder / name
        found = path.stat().st_size if path.exists() else None
        has_grown = found is not None and found > size and name.endswith(_GROWING)  # newer generations have it too
        if found != size and not has_grown:
            state = "is missing" if found is None else f"has {found} bytes"
            raise StaleIndex(f"generation {folder.name}: {name} {state}, expected are {size} bytes")
    return facts


def make_facts(feature: Feature) -> dict[str, Any]:
    """Record the declaration of a feature and its bases, to be compared when the generation is opened."""
    facts = {"dtype": feature.dtype, "width": feature.width, **feature_fingerprint(feature)}
    return {**facts, "bases": [make_facts(base) for base in feature.bases]} if feature.bases else facts


def matrix_name(feature: str) -> str:
    """The name of the file of a feature's vectors in the generation's folder."""
    return feature + _GROWING


def graph_file(graph: HnswIndexInfo) -> str:
    """The name of a graph's file in the generation's folder."""
    return f"{graph.feature}.{graph.metric}.hnsw"
