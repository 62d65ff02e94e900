"""Every error that imrec raises on purpose.

    ImrecError
    ├── ImageError            one image is at fault; bulk runs record it and go on
    │   ├── UnreadableImage   the file cannot be read, or its bytes are no picture
    │   ├── TruncatedImage    the picture breaks off or its data is damaged
    │   ├── ImageTooLarge     more pixels than `max_pixels`
    │   └── UnsupportedFormat a picture of a kind that is not decoded here
    ├── DeclarationError      a feature, metric or model is declared or used wrongly
    │   ├── UnknownName       no such feature, metric, column; carries the nearest names
    │   ├── BadOutput         a feature broke its declaration
    │   ├── BadModel          a network's file is damaged, or it is not what was declared
    │   ├── MissingDependency an optional library is not installed
    │   └── MissingWeights    a network's weights are not here and could not be fetched
    ├── LakeError             what is on disk is missing, stale or of another shape
    │   ├── MissingTable      not made yet
    │   ├── SchemaMismatch    a file that was made by something else
    │   ├── StaleIndex        a generation is damaged or older than what it is asked for
    │   ├── BadSettings       lake.toml says something that cannot be
    │   ├── BadSource         a source folder is missing, empty or holds no image
    │   ├── BadColumns        a file of your own columns cannot be joined to the images
    │   ├── StorageFull       the disk took no more
    │   └── StorageFault      a disk or an object store failed in a way that may pass
    ├── ClusterError          the Dask cluster cannot be reached, or lost the workers that it had
    └── QueryError            the request cannot be answered
        ├── EmptyQuery        nothing was asked
        ├── BadExport         a generation cannot be written for another tool as asked
        ├── BadPlan           files cannot be moved as a plan says
        ├── BadWeights        weights that are negative, all zero or not finite
        └── BadFilter         `where` is no condition, or `order_by` no order, over the rows

Callers catch a branch. A message names the thing, what was found, what was expected and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class ImrecError(Exception):
    """Root of all errors that imrec raises on purpose.

    They travel between processes as they are, whatever their class wants to be made from.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return _as_it_was, (type(self), self.args, self.__dict__)


def _as_it_was(kind: type[ImrecError], args: tuple[object, ...], attributes: dict[str, Any]) -> ImrecError:
    error = kind.__new__(kind, *args)
    error.__dict__ |= attributes
    return error


class ImageError(ImrecError):
    """One image is at fault; the others are not touched by it."""


class UnreadableImage(ImageError):
    """The file cannot be read, or its bytes are no picture."""


class TruncatedImage(ImageError):
    """The picture breaks off, or its data is damaged."""


class ImageTooLarge(ImageError):
    """The header promises more pixels than `max_pixels`."""


class UnsupportedFormat(ImageError):
    """A picture of a kind that is not decoded here."""


class DeclarationError(ImrecError):
    """A feature, metric or model is declared or used wrongly."""


class UnknownName(DeclarationError):
    """A name that nothing has; says which known one is nearest."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.kind, self.name, self.known = kind, name, tuple(known)
        near = difflib.get_close_matches(name, self.known, n=1, cutoff=0.6)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(self.known) or 'none'}"
        super().__init__(f"no {kind} named {name!r}; {hint}")


class BadOutput(DeclarationError):
    """A feature returned something else than it declares."""


class BadModel(DeclarationError):
    """A network whose file is damaged, or which is not what was declared."""

    def __init__(self, name: str, what: str) -> None:
        self.name = name
        super().__init__(f"{name}: {what}")


class MissingWeights(DeclarationError):
    """The weights of a network are not on this machine and could not be fetched."""

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
    """What is on disk is missing, stale or of another shape."""


class MissingTable(LakeError):
    """A table or generation that was not made yet."""


class SchemaMismatch(LakeError):
    """A file that something else made, or another version of imrec."""


class StaleIndex(LakeError):
    """A generation that is damaged, or too old for what is asked of it."""


class BadSettings(LakeError):
    """lake.toml says something that cannot be."""


class BadSource(LakeError):
    """A source folder is missing, empty or holds no image."""


class BadColumns(LakeError):
    """A file of a person's own columns cannot be joined to the images."""

    def __init__(self, file: object, what: str) -> None:
        self.file = str(file)
        super().__init__(f"{file}: {what}")


class StorageFull(LakeError):
    """The disk took no more; what was finished is kept."""


class StorageFault(LakeError):
    """A disk or an object store failed, again after some tries; later it may answer. What is finished is kept."""


class ClusterError(ImrecError):
    """The Dask cluster cannot be reached, has no worker, or lost those that it had; what is finished is kept."""


class QueryError(ImrecError):
    """The request cannot be answered as it stands."""


class EmptyQuery(QueryError):
    """Nothing was asked."""


class BadExport(QueryError):
    """A generation cannot be written as asked: by a distance that is not there, or into a place that is taken."""


class BadPlan(QueryError):
    """Files cannot be moved, or moved back, as a plan says; none was touched."""


class BadWeights(QueryError):
    """Weights that are negative, all zero or not finite."""


class BadFilter(QueryError):
    """`where` is no condition over the rows, or `order_by` no order."""
