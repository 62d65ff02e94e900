"""Which files a scan accepts by their suffix, and what would help for the others."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from imrec_core.lake.settings import EXTENSIONS, RAW_EXTENSIONS, Settings

ALL = "*"
"""Extension that accepts every file."""

OTHER = "other"
"""Kind of files whose suffix is no usual one, such as a number."""

NO_SUFFIX = "without suffix"

RAW_COMPANION = "RAW beside an image"
"""Kind of camera RAW files with an image of the same name in their folder, of which they are companions."""

BEYOND_LIMIT = "images beyond the limit"
"""Kind of images that come after the first of their source, as many as the setting `limit`."""

_USUAL = re.compile(r"(?=.*[a-z])[a-z0-9_+-]{1,10}")


@dataclass(frozen=True)
class Plugin:
    """An optional library that decodes a format.

    Attributes:
        module: Name to import.
        extra: Extra of imrec that installs it.
    """

    module: str
    extra: str


PLUGINS: Mapping[str, Plugin] = {
    **dict.fromkeys(("heic", "heif"), Plugin("pillow_heif", "heic")),
    "jxl": Plugin("pillow_jxl", "jxl"),
    **dict.fromkeys(RAW_EXTENSIONS, Plugin("rawpy", "raw")),
}
"""Optional library of each suffix that needs one."""

_DRAWN = ("ai", "eps", "pdf", "psb", "psd", "svg", "svgz", "xcf")
_HINTS = {
    **dict.fromkeys(_DRAWN, "export it as PNG or JPEG"),
    NO_SUFFIX: 'to read them: extensions = ["*"] in lake.toml',
    RAW_COMPANION: "the companion of that image",
    BEYOND_LIMIT: "limit in lake.toml; for all: imrec build --limit 0",
    **dict.fromkeys(EXTENSIONS, "not among the extensions in lake.toml"),
}


@dataclass(frozen=True)
class NotRead:
    """Files of one kind that a scan does not read.

    Attributes:
        kind: Their suffix, `without suffix` or `other`.
        hint: What would help; empty if nothing does.
    """

    kind: str
    files: int
    hint: str

    def summary(self) -> str:
        """Format as text, for example `12 heic (pip install 'imrec[heic]')`."""
        return f"{self.files} {self.kind}" + (f" ({self.hint})" if self.hint else "")


def suffix_of(name: str) -> str:
    """Return the suffix of a file name in lower case, without the dot; empty if there is none, as in `.bashrc`."""
    stem, _, suffix = name.rpartition(".")  # half the time of `os.path.splitext`
    return suffix.lower() if stem.strip(".") else ""


def missing_plugins() -> frozenset[str]:
    """Return the suffixes whose optional library is not installed."""
    missing = {plugin for plugin in set(PLUGINS.values()) if importlib.util.find_spec(plugin.module) is None}
    return frozenset(suffix for suffix, plugin in PLUGINS.items() if plugin in missing)


def accepted_extensions(settings: Settings) -> frozenset[str]:
    """Return the extensions in the settings, in lower case, without those whose library is not installed."""
    return frozenset(e.lower().lstrip(".") for e in settings.extensions) - missing_plugins()


def kind_of(suffix: str) -> str:
    """Return the kind under which files that are not read are counted; their number is bounded in practice."""
    if not suffix:
        return NO_SUFFIX
    return suffix if _USUAL.fullmatch(suffix) else OTHER


def describe(counts: Mapping[str, int]) -> list[NotRead]:
    """Name the kinds of files that are not read, the most frequent first."""
    missing = missing_plugins()
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [NotRead(kind, files, _hint(kind, missing)) for kind, files in ordered]


def install_hint(suffix: str) -> str:
    """Return the command that installs the optional library of a format, by its suffix."""
    return f"pip install 'imrec[{PLUGINS[suffix].extra}]'"


def _hint(kind: str, missing: Iterable[str]) -> str:
    return install_hint(kind) if kind in missing else _HINTS.get(kind, "")


def summarize(kinds: Iterable[NotRead], *, most: int = 8) -> str:
    """Format the kinds of files that are not read as one line; empty if there are none.

    Args:
        most: Number of kinds to name. Those with a hint come first.
    """
    ordered = sorted(kinds, key=lambda one: not one.hint)
    if not ordered:
        return ""
    rest = ordered[most:]
    shown = [one.summary() for one in ordered[:most]]
    if rest:
        shown.append(f"{sum(one.files for one in rest)} of {len(rest)} more kinds")
    files = sum(one.files for one in ordered)
    count = f"{files} file{'s' * (files > 1)} of {len(ordered)} kind{'s' * (len(ordered) > 1)}"
    return f"{count} not read: {', '.join(shown)}"
