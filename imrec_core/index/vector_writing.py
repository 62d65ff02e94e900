"""Write the vectors of a generation: from the tables of the lake, and from the generation before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from imrec_core.errors import DamagedGeneration, SchemaMismatch
from imrec_core.features import Feature
from imrec_core.index.exact_search import blocks
from imrec_core.index.generation import Generation, Rows
from imrec_core.index.integrity import mark_damaged
from imrec_core.index.manifest import vector_file_name
from imrec_core.index.plan import GenerationPlan
from imrec_core.index.row_assignment import RowAssignment
from imrec_core.index.vector_file import VectorFile
from imrec_core.lake import schemas
from imrec_core.lake.lake import Lake


@dataclass(frozen=True)
class BuildInputs:
    """Inputs of one build.

    Attributes:
        current: Current generation, whose rows of held shards are carried over.
        previous: The same if it is extended; None to build the new one whole.
        why: As in `GenerationReport`.
    """

    lake: Lake
    plan: GenerationPlan
    rows: RowAssignment
    current: Generation | None
    previous: Generation | None
    why: str


def write_vectors(build: BuildInputs, folder: Path, feature: Feature, new: Iterable[NDArray[Any]]) -> None:
    """Write all vectors of a feature in row order, if possible by extending the file of the previous generation.

    Args:
        new: Vectors of the appended rows, in blocks.
    """
    file = VectorFile(folder / vector_file_name(feature.name), len(build.rows.table), feature.width, feature.dtype)
    previous = build.previous
    if previous is not None and file.extend(previous.vector_file(feature.name), new):
        return
    stored = (block for _, block in blocks(previous.matrix(feature.name))) if previous is not None else ()
    file.write(chain(stored, new))


def new_vectors(build: BuildInputs, feature: Feature) -> Iterator[NDArray[Any]]:
    """Yield the vectors of the appended rows: shard by shard, then those of held shards."""
    for shard, count, positions in build.rows.added:
        table = build.lake.read_table(build.lake.feature_path(feature.stored_as, shard), ["vector"])
        if len(table) != count:
            raise SchemaMismatch(f"{feature.name} has {len(table)} rows for {count} images in shard {shard!r}")
        yield schemas.to_matrix(table["vector"], feature.width)[positions]
    if build.current is not None and len(build.rows.held):
        yield from _held_vectors(build.current, feature, build.rows.held)


def _held_vectors(current: Generation, feature: Feature, rows: Rows) -> Iterator[NDArray[Any]]:
    """Yield vectors of the current generation in blocks, after verifying their file.

    The new file has checksums of its own, which would hide damage of the old one.

    Raises:
        DamagedGeneration: The vectors differ from their checksums.
    """
    if not all(current.files.check_blocks(vector_file_name(feature.name))):
        path = current.vector_file(feature.name).path
        mark_damaged(path)
        raise DamagedGeneration(path, "differs from its checksum")
    yield from (block for _, block in blocks(current.matrix(feature.name), rows))
