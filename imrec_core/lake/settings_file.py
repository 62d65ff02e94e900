"""Parsing of `lake.toml` to `Settings`, and rendering that keeps the comments of the file."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from imrec_core.errors import BadSettings, UnknownName
from imrec_core.lake.settings import RENAMED, Settings
from imrec_core.lake.source_names import canonical
from imrec_core.lake.storage.files import AnyPath, below

log = logging.getLogger(__name__)


def parse(text: str, base: AnyPath) -> Settings:
    """Parse the text of a `lake.toml`.

    Args:
        base: Folder that relative paths start from.

    Raises:
        BadSettings: The text is not TOML, a setting is unknown, or a value is invalid.
    """
    try:
        table = tomlkit.parse(text).unwrap()
    except TOMLKitError as error:
        raise BadSettings(f"lake.toml is not valid TOML: {error}") from error
    _warn_of_old_names(tuple(name for name in RENAMED if name in table))
    known = {f.name: f for f in fields(Settings)}
    values: dict[str, Any] = {}
    for key, value in _with_new_names(table).items():
        if key not in known:
            raise BadSettings(f"lake.toml: {UnknownName('setting', key, known)}")
        values[key] = _parse_value(key, value, base)
    return Settings(**values)


def _with_new_names(table: Mapping[str, Any]) -> dict[str, Any]:
    """Move settings of version 0.1 to their new names. Values under a new name win, in tables by key."""
    moved: dict[str, Any] = {}
    for old, new in RENAMED.items():
        if old in table:
            parent, _, name = new.rpartition(".")
            (moved.setdefault(parent, {}) if parent else moved)[name] = table[old]
    kept = {name: value for name, value in table.items() if name not in RENAMED}
    for name, value in moved.items():
        given = kept.get(name, value)
        kept[name] = {**value, **given} if isinstance(value, dict) and isinstance(given, dict) else given
    return kept


@functools.cache
def _warn_of_old_names(names: tuple[str, ...]) -> None:
    """Log one line per process."""
    if names:
        advice = ", ".join(f"{RENAMED[name]} instead of {name}" for name in names)
        log.warning("lake.toml: deprecated names of settings; use %s", advice)


def _parse_value(key: str, value: Any, base: AnyPath) -> Any:
    default = getattr(Settings(), key)
    if key == "sources":
        if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
            raise BadSettings("lake.toml: [sources] must map names to folders")
        for name, folder in value.items():
            if not folder.strip():
                raise BadSettings(f"lake.toml: source {name!r} is {folder!r}; expected a folder or a URL")
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
    if isinstance(default, float) and type(value) is int:
        return float(value)
    if type(value) is not type(default):
        raise BadSettings(f"lake.toml: {key} must be {type(default).__name__}, found {value!r}")
    return value


def _files(texts: Iterable[str], base: AnyPath) -> tuple[str, ...]:
    """Resolve relative files from `base`, and drop repeated ones."""
    files: dict[str, str] = {}
    for file in (str(below(base, text)) for text in texts):
        files.setdefault(canonical(file), file)
    return tuple(files.values())


def render(settings: Settings, previous: str, base: AnyPath) -> str:
    """Render `lake.toml`; keep the comments, order, relative folders and unchanged values of the previous text.

    A setting is written if it differs from the default or was in the file. A name of version 0.1 stays until its value
    changes.
    """
    document = tomlkit.parse(previous)
    default, before = Settings(), _with_new_names(document.unwrap())
    for old, new in RENAMED.items():
        name = new.partition(".")[0]
        if name in before and getattr(settings, name) != before[name]:
            document.pop(old, None)
    for f in fields(Settings):
        value = getattr(settings, f.name)
        if f.name == "columns":
            value = _keep_relative(value, before.get("columns", []), base)
        value = list(value) if isinstance(value, tuple) else value
        if f.name == "sources" or (f.name in before and value == before[f.name]):
            continue
        if getattr(settings, f.name) != getattr(default, f.name) or f.name in before:
            document[f.name] = value
    _render_sources(document, settings, base)
    return tomlkit.dumps(document)


def _keep_relative(files: Iterable[str], before: Iterable[str], base: AnyPath) -> list[str]:
    """Write files as they were in the file before."""
    spelled = {str(below(base, text)): text for text in before}
    return [spelled.get(file, file) for file in files]


def _render_sources(document: tomlkit.TOMLDocument, settings: Settings, base: AnyPath) -> None:
    sources = document.setdefault("sources", tomlkit.table())
    for name in [name for name in sources if name not in settings.sources]:
        del sources[name]
    for name, root in settings.sources.items():
        if name not in sources or below(base, sources[name]) != root:
            sources[name] = str(root)
