"""The text of `lake.toml`, parsed to `Settings` and rendered from them with the comments that were in it."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from imrec_core.errors import BadSettings, UnknownName
from imrec_core.lake.settings import Settings, canonical
from imrec_core.lake.storage.files import AnyPath, below

log = logging.getLogger(__name__)

_RENAMED = {"nightly_scan": "scan_schedule", "nightly_reindex": "reindex_schedule"}  # of version 0.1, now in [dagster]


def parse(text: str, base: AnyPath) -> Settings:
    """Settings from the text of a `lake.toml`; relative source folders are taken from `base`.

    Raises:
        BadSettings: The text is no TOML, or a key or value is not known.
    """
    try:
        table = tomlkit.parse(text).unwrap()
    except TOMLKitError as error:
        raise BadSettings(f"lake.toml is not valid TOML: {error}") from error
    _warn_of_old_names(tuple(name for name in _RENAMED if name in table))
    known = {f.name: f for f in fields(Settings)}
    values: dict[str, Any] = {}
    for key, value in _with_new_names(table).items():
        if key not in known:
            raise BadSettings(f"lake.toml: {UnknownName('setting', key, known)}")
        values[key] = _checked(key, value, base)
    return Settings(**values)


def _with_new_names(table: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that version 0.1 had at the top of the file, moved to the table `[dagster]`, whose own values win."""
    moved = {new: table[old] for old, new in _RENAMED.items() if old in table}
    given = table.get("dagster", {})
    if not moved:
        return dict(table)
    kept = {name: value for name, value in table.items() if name not in _RENAMED}
    return kept | {"dagster": {**moved, **given} if isinstance(given, dict) else given}


@functools.cache
def _warn_of_old_names(names: tuple[str, ...]) -> None:
    """Log one line in each process."""
    if names:
        new = ", ".join(_RENAMED[name] for name in names)
        log.warning("lake.toml: %s: deprecated; use %s under [dagster]", ", ".join(names), new)


def _checked(key: str, value: Any, base: AnyPath) -> Any:
    default = getattr(Settings(), key)
    if key == "sources":
        if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
            raise BadSettings("lake.toml: [sources] must map names to folders")
        return {name: below(base, folder) for name, folder in value.items()}
    if key == "dagster":
        if not isinstance(value, dict):
            raise BadSettings(f"lake.toml: [dagster] must be a table, found {value!r}")
        return value
    if isinstance(default, dict):
        if not isinstance(value, dict) or not all(isinstance(v, dict) for v in value.values()):
            raise BadSettings(f"lake.toml: [{key}] must hold a table for each name, found {value!r}")
        return value
    if isinstance(default, tuple):
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            raise BadSettings(f"lake.toml: {key} must be a list of strings, found {value!r}")
        return _files(value, base) if key == "columns" else tuple(value)
    if type(value) is not type(default):
        raise BadSettings(f"lake.toml: {key} must be {type(default).__name__}, found {value!r}")
    return value


def _files(texts: Iterable[str], base: AnyPath) -> tuple[str, ...]:
    """Each file once, from `base` where it is relative."""
    files: dict[str, str] = {}
    for file in (str(below(base, text)) for text in texts):
        files.setdefault(canonical(file), file)
    return tuple(files.values())


def render(settings: Settings, previous: str, base: AnyPath) -> str:
    """`lake.toml` for these settings; comments and order of the `previous` text are kept, and its relative folders.

    Only what differs from the default, or stood in the file before, is written.
    """
    document = tomlkit.parse(previous)
    default, old = Settings(), _with_new_names(document.unwrap())
    if settings.dagster != old.get("dagster", {}):
        for name in _RENAMED:
            document.pop(name, None)
    for f in fields(Settings):
        value, before = getattr(settings, f.name), old.get(f.name, {})
        if f.name == "columns":
            value = [{str(below(base, text)): text for text in before}.get(file, file) for file in value]
        value = list(value) if isinstance(value, tuple) else value
        if f.name == "sources" or (isinstance(value, Mapping | list) and value == before):
            continue
        if getattr(settings, f.name) != getattr(default, f.name) or f.name in document:
            document[f.name] = value
    sources = document.setdefault("sources", tomlkit.table())
    for name in [name for name in sources if name not in settings.sources]:
        del sources[name]
    for name, root in settings.sources.items():
        if name not in sources or below(base, sources[name]) != root:
            sources[name] = str(root)
    return tomlkit.dumps(document)
