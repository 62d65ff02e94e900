"""Folders whose entries have a status that not every disk can give."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import pytest


class _Changed:
    """An object with some attributes replaced."""

    def __init__(self, real: object, **attributes: object) -> None:
        self._real = real
        self.__dict__.update(attributes)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class _Entries(list[_Changed]):
    def __enter__(self) -> _Entries:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def change_status(monkeypatch: pytest.MonkeyPatch, changes: Callable[[str, os.stat_result], Mapping[str, int]]) -> None:
    """Let entries of folders have another status: `changes` gets name and true status, and returns the fields."""
    real = os.scandir

    def changed(entry: os.DirEntry[str]) -> _Changed:
        def stat(**options: bool) -> _Changed:
            found = entry.stat(**options)
            return _Changed(found, **changes(entry.name, found))

        return _Changed(entry, stat=stat)

    def scandir(folder: str) -> _Entries:
        with real(folder) as entries:
            return _Entries(map(changed, entries))

    monkeypatch.setattr(os, "scandir", scandir)
