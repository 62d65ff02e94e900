"""Text of the `lake.toml` of a new lake: every common setting with its meaning and its default, as comments.

One line is set: the quality of new lakes. A file without it, such as one of version 0.1, keeps that of `Settings`.
"""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import tomlkit

from imrec_core.lake.settings import Settings

_WIDTH = 118

NEW_LAKES: Mapping[str, Any] = {"quality": "balanced"}
"""Settings of new lakes that differ from the defaults."""

_HEAD = """\
# Settings of this lake. Lines that begin with '#' are comments; most show the default of a setting. To change one,
# remove its '#' and the space after it. imrec adds what commands set, and keeps your comments. All settings, also the
# tables for features, models and mixes of your own, are in docs/reference/settings.md of the repository of imrec.
"""

_DAGSTER = """\
# Dagster (imrec ui): its schedules, as minute, hour, day of month, month and day of week, in a time zone such as
# "Europe/Berlin"; minutes between two generations that are made of what is new; images of a run; the executor of runs,
# "in_process" or "multiprocess"; and the owner of the assets.
# [dagster]
# scan_schedule = "0 1 * * *"
# reindex_schedule = "0 3 * * *"
# check_schedule = "0 5 * * 0"
# timezone = "UTC"
# reindex_minutes = 60
# images_per_run = 40000
# executor = "in_process"
# owner = "team:imrec"
"""

_SOURCES = """\
[sources]
# The image folders, each under a name of its own; `imrec build FOLDER` and `imrec sources` write them, too. A relative
# folder starts from this file. Shards, ids and paths have the name in them: to change one, use `imrec sources rename`.
# photos = "/srv/photos"
# bucket = "s3://bucket/photos"
"""


@functools.cache
def settings_template() -> str:
    """Return a `lake.toml` that sets `NEW_LAKES` only. `settings_file.render` adds values to it."""
    meanings = attribute_docs(Settings.__doc__ or "")
    default = Settings()
    settings = [
        _setting(f.name, getattr(default, f.name), meanings.get(f.name, ""))
        for f in fields(Settings)
        if not isinstance(getattr(default, f.name), dict)
    ]
    return "\n".join([_HEAD, *settings, _DAGSTER, _SOURCES])


def attribute_docs(docstring: str) -> dict[str, str]:
    """Parse the `Attributes:` section of a docstring into name → description."""
    parsed: dict[str, str] = {}
    names: list[str] = []
    for line in docstring.partition("Attributes:")[2].splitlines():
        indent = len(line) - len(line.lstrip())
        if indent == 8:
            head, _, text = line.strip().partition(": ")
            names = [name.strip() for name in head.split(",")]
            parsed |= dict.fromkeys(names, text)
        elif indent > 8:
            parsed |= {name: f"{parsed[name]} {line.strip()}" for name in names}
    return parsed


def _setting(name: str, default: object, meaning: str) -> str:
    """Return the meaning of a setting and its default as comments, or the line that sets it."""
    comments = textwrap.wrap(meaning, _WIDTH - 2)
    if name in NEW_LAKES:
        lines = _setting_lines(name, NEW_LAKES[name])
    else:
        comments += _setting_lines(name, list(default) if isinstance(default, tuple) else default)
        lines = []
    return "".join(f"{line}\n" for line in [*(f"# {comment}" for comment in comments), *lines])


def _setting_lines(name: str, value: object) -> list[str]:
    line = f"{name} = {tomlkit.item(value).as_string()}"
    if len(line) <= _WIDTH - 2:
        return [line]
    return textwrap.wrap(line, _WIDTH - 2, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
