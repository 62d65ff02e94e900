"""Kinds of failures in plain words, with what a user can do about them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FailureKind:
    """A kind of failure.

    Attributes:
        key: Its name for programs.
        title: What the files have in common.
        advice: What a user can do.
        may_recover: Whether another try of the unchanged file may succeed, for example with a library installed since.
    """

    key: str
    title: str
    advice: str
    may_recover: bool


KINDS = {
    kind.key: kind
    for kind in (
        FailureKind(
            "unreadable",
            "Files and folders that cannot be opened",
            "See that the disk is connected and that imrec may read them, then try them again.",
            True,
        ),
        FailureKind(
            "not_an_image",
            "Files without a readable image",
            "Their content is not what their ending says. Rename them, move them away, or leave them out with exclude "
            "in lake.toml.",
            False,
        ),
        FailureKind(
            "damaged",
            "Damaged or incomplete images",
            "Copy them again from the camera or from a backup, or set allow_truncated = true in lake.toml to use what "
            "is left. The next build reads them.",
            False,
        ),
        FailureKind(
            "too_large",
            "Images above the size limit",
            "Raise max_pixels in lake.toml if the memory of this machine allows it. The next build reads them.",
            True,
        ),
        FailureKind(
            "needs_library",
            "Formats that need another library",
            "Install the library that the error names, then try them again.",
            True,
        ),
        FailureKind("unsupported", "Formats that imrec does not read", "Export them as JPEG or PNG.", False),
        FailureKind("other", "Other errors", "Try them again. If they fail again, the error names the cause.", True),
    )
}
"""Kinds of failures by key, in the order of lists."""

_BY_CLASS = {
    "TruncatedImage": "damaged",
    "ImageTooLarge": "too_large",
    "MissingPlugin": "needs_library",
    "UnsupportedFormat": "unsupported",
}


def kind_of(reason: str, *, was_read: bool) -> str:
    """Return the key of the kind of a failure.

    Args:
        reason: Name of the class of its error.
        was_read: Whether the bytes of the file were read, so that the fault is in its content.
    """
    if reason in _BY_CLASS:
        return _BY_CLASS[reason]
    if reason == "UnreadableImage":
        return "not_an_image" if was_read else "unreadable"
    return "other" if was_read else "unreadable"
