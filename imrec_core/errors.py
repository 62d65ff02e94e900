"""All errors that imrec raises on purpose.

    ImrecError
    ├── ImageError            one image failed; bulk runs record it and continue
    │   ├── UnreadableImage   the file cannot be read, or is not an image
    │   ├── TruncatedImage    the image data is truncated or damaged
    │   ├── ImageTooLarge     the image has more than `max_pixels` pixels
    │   ├── UnsupportedFormat imrec does not decode this image format
    │   └── MissingPlugin     the optional library that decodes this format is not installed
    ├── DeclarationError      a feature, metric or model is declared or used wrongly
    │   ├── UnknownName       no such feature, metric or column; carries the nearest names
    │   ├── BadOutput         the output of a feature contradicts its declaration
    │   ├── BadModel          the file of a network is damaged or contradicts its declaration
    │   ├── UntrustedModel    a network of lake.toml would run code, and the user did not allow it
    │   ├── MissingDependency an optional library is not installed
    │   └── MissingWeights    the weights of a network are not on this machine, and the download failed
    ├── LakeError             a file or folder of the lake is missing, stale or invalid
    │   ├── MissingTable      a table or generation does not exist yet
    │   ├── SchemaMismatch    a file is damaged, or another program or version of imrec wrote it
    │   │   └── DamagedTable  a Parquet file is damaged
    │   ├── StaleIndex        a generation is damaged or too old for the request
    │   │   └── DamagedGeneration  a file of a generation is damaged or missing
    │   │       └── UnreadableGeneration  a file of a generation cannot be read
    │   ├── BadSettings       lake.toml is invalid
    │   ├── BadSource         a source folder is missing, empty or holds no image
    │   ├── BadColumns        a file of user columns cannot be joined to the images
    │   ├── StorageFull       the disk is full
    │   ├── StorageDenied     a file or folder may not be read or written
    │   ├── StorageFault      a disk or an object store failed, perhaps temporarily
    │   └── FailedShards      several shards of a run failed
    ├── ClusterError          the Dask cluster cannot be reached, or lost its workers
    └── QueryError            a request is invalid
        ├── EmptyQuery        the query is empty
        ├── BadExport         a generation cannot be exported as requested
        ├── BadPlan           files cannot be moved as a plan says
        ├── BadWeights        weights are negative, all zero or not finite
        └── BadFilter         `where` or `order_by` is not a valid expression over the rows

Callers catch a branch. A message says where, what was found, what was expected and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


class ImrecError(Exception):
    """Root of all errors that imrec raises on purpose.

    They can be pickled, whatever the arguments of their class.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self.args, self.__dict__)


def _restore(kind: type[ImrecError], args: tuple[object, ...], attributes: dict[str, Any]) -> ImrecError:
    error = kind.__new__(kind, *args)
    error.__dict__ |= attributes
    return error


class ImageError(ImrecError):
    """One image failed; others are not affected."""


class UnreadableImage(ImageError):
    """The file cannot be read, or is not an image."""


class TruncatedImage(ImageError):
    """The image data is truncated or damaged."""


class ImageTooLarge(ImageError):
    """The image has more than `max_pixels` pixels by its header."""


class UnsupportedFormat(ImageError):
    """imrec does not decode this image format."""


class MissingPlugin(UnsupportedFormat):
    """The optional library that decodes this image format is not installed."""


class DeclarationError(ImrecError):
    """A feature, metric or model is declared or used wrongly."""


class UnknownName(DeclarationError):
    """There is nothing of this name. The message suggests the nearest known name."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.kind, self.name, self.known = kind, name, tuple(known)
        near = difflib.get_close_matches(name, self.known, n=1, cutoff=0.6)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(self.known) or 'none'}"
        super().__init__(f"no {kind} named {name!r}; {hint}")


class BadOutput(DeclarationError):
    """The output of a feature contradicts its declaration."""


class BadModel(DeclarationError):
    """The file of a network is damaged or contradicts its declaration."""

    def __init__(self, name: str, what: str) -> None:
        self.name = name
        super().__init__(f"{name}: {what}")


class UntrustedModel(DeclarationError):
    """A network of lake.toml would run code, and the user did not allow it."""

    def __init__(self, name: str, code: str) -> None:
        self.name = name
        super().__init__(
            f"lake.toml: models.{name}: {code} can do anything that you can; if you trust this lake, allow it with "
            "--trust-models, or with IMREC_TRUST_MODELS=1 in the environment"
        )


class MissingWeights(DeclarationError):
    """The weights of a network are not on this machine, and the download failed."""

    def __init__(self, name: str, reason: str, *, hint: str | None = None) -> None:
        self.name, self.reason = name, reason
        hint = hint or f"bring them with: imrec models --fetch {name}"
        super().__init__(f"{name}: its weights are not on this machine and could not be fetched ({reason}); {hint}")


class MissingDependency(DeclarationError):
    """An optional library is not installed."""

    def __init__(self, name: str, *, extra: str | None = None) -> None:
        self.name, self.extra = name, extra
        wanted = f"'imrec[{extra}]'" if extra else name
        super().__init__(f"{name} is not installed; install it with: pip install {wanted}")


class LakeError(ImrecError):
    """A file or folder of the lake is missing, stale or invalid."""


class MissingTable(LakeError):
    """A table or generation does not exist yet."""


class SchemaMismatch(LakeError):
    """A file is damaged, or another program or version of imrec wrote it."""


class StaleIndex(LakeError):
    """A generation is damaged or too old for the request."""


class DamagedTable(SchemaMismatch):
    """A Parquet file is damaged. The next build makes it again."""

    def __init__(self, path: Any, reason: str) -> None:
        self.path = path
        super().__init__(f"{path} is damaged ({reason}); to make it again, run: imrec build")


class DamagedGeneration(StaleIndex):
    """A file of a generation is damaged or missing. Searches use the generation before.

    Attributes:
        is_certain: Whether the content is known to be wrong, so that the file may be moved aside.
    """

    is_certain = True

    def __init__(self, path: Path, what: str) -> None:
        self.path = path
        super().__init__(f"generation {path.parent.name}: {path.name} {what}")


class UnreadableGeneration(DamagedGeneration):
    """A file of a generation cannot be read: access is denied, too many files are open, the disk fails."""

    is_certain = False

    def __init__(self, path: Path, error: Exception) -> None:
        super().__init__(path, f"cannot be read ({getattr(error, 'strerror', None) or error})")


class BadSettings(LakeError):
    """lake.toml is invalid."""


class BadSource(LakeError):
    """A source folder is missing, empty or holds no image."""


class BadColumns(LakeError):
    """A file of user columns cannot be joined to the images."""

    def __init__(self, file: object, what: str) -> None:
        self.file = str(file)
        super().__init__(f"{file}: {what}")


class StorageFull(LakeError):
    """The disk is full. Completed files are kept."""


class StorageDenied(LakeError):
    """A file or folder may not be read or written, for example on a disk that is mounted read-only."""


class StorageFault(LakeError):
    """A disk or an object store failed in all tries, perhaps temporarily. Completed files are kept."""


class FailedShards(LakeError):
    """Several shards of a run failed; the others are complete.

    Attributes:
        errors: The error of each shard.
    """

    def __init__(self, errors: Mapping[str, Exception]) -> None:
        lines = "; ".join(f"{shard}: {error or type(error).__name__}" for shard, error in errors.items())
        super().__init__(f"{len(errors)} shards failed: {lines}")
        self.errors = errors


class ClusterError(ImrecError):
    """The Dask cluster cannot be reached, has no worker, or lost its workers. Completed files are kept."""


class QueryError(ImrecError):
    """A request is invalid."""


class EmptyQuery(QueryError):
    """The query is empty."""


class BadExport(QueryError):
    """A generation cannot be exported as requested, for example by an unknown metric or into a folder in use."""


class BadPlan(QueryError):
    """Files cannot be moved, or moved back, as a plan says. No file is overwritten or lost."""


class BadWeights(QueryError):
    """Weights are negative, all zero or not finite."""


class BadFilter(QueryError):
    """`where` or `order_by` is not a valid expression over the rows.

    Args:
        columns: Columns that the expression may name, for the message.

    Attributes:
        field: `where` or `order_by`.
        problem: What is wrong and what to write, in plain words.
        details: Message of DuckDB; empty if the expression did not reach it.
        unknown: Column that does not exist; empty if the error is another one.
    """

    def __init__(
        self, field: str, problem: str, *, details: str = "", unknown: str = "", columns: Iterable[str] = ()
    ) -> None:
        self.field, self.problem, self.details, self.unknown = field, problem, details, unknown
        names = ", ".join(columns)
        super().__init__(f"{field}: {problem}" + (f" (columns: {names})" if names else ""))
