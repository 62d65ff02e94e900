"""What a scan of a source found besides its images: entries that it could not read, and files that are not read."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from imrec_core.catalog.file_kinds import NotRead, describe
from imrec_core.lake.lake import Lake
from imrec_core.lake.storage import files


@dataclass(frozen=True)
class EntryFailure:
    """A folder that cannot be listed, or a file whose size and times cannot be read or stored.

    Attributes:
        path: Relative POSIX path, escaped where it is not UTF-8.
        error: Name of an error class, a colon and the reason, as in the images table.
        is_link: Whether the entry is a link to something that is missing, which may have been a folder.
    """

    path: str
    error: str
    is_link: bool = False


@dataclass(frozen=True)
class ScanReport:
    """The last scan of a source.

    Attributes:
        failures: Sorted by path. The images that were known at or below these paths are kept.
        not_read: Number of files that are not read, by kind; see `file_kinds`.
        root_inode: Inode of the root of the source; another one means that the source was moved or copied.
    """

    failures: tuple[EntryFailure, ...] = ()
    not_read: Mapping[str, int] = field(default_factory=dict)
    root_inode: int | None = None

    def save(self, lake: Lake, source: str) -> None:
        """Store the report, unless it is stored already."""
        if self != load(lake, source):
            lake.save_scan(source, json.dumps(asdict(self), indent=1))


def load(lake: Lake, source: str) -> ScanReport:
    """Read the report of the last scan of a source; an empty one if there is none, or the file is damaged."""
    try:
        found = json.loads(lake.load_scan(source) or "{}")
        failures = tuple(EntryFailure(**one) for one in found.get("failures", ()))
        return ScanReport(failures, found.get("not_read", {}), found.get("root_inode"))
    except (ValueError, TypeError, AttributeError):  # the next scan writes it again
        return ScanReport()


def rename(lake: Lake, old: str, new: str) -> None:
    """Move the report of a source to its new name."""
    load(lake, old).save(lake, new)
    remove(lake, old)


def remove(lake: Lake, source: str) -> None:
    """Remove the report of a source, if there is one."""
    files.remove(lake.layout.scan_path(source))


def not_read(lake: Lake) -> tuple[NotRead, ...]:
    """Return the files of all sources that their last scans passed over, by kind, the most frequent first."""
    counts: Counter[str] = Counter()
    for source in lake.settings().sources:
        counts.update(load(lake, source).not_read)
    return tuple(describe(counts))
