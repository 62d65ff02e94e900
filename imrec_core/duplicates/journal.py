"""The journal of a move plan, by which interrupted moves continue or are undone."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imrec_core.errors import BadPlan


@dataclass(frozen=True)
class Journal:
    """Journal of a plan: a line of JSON with the target folder, then one per file and per folder.

    A line with the relative target of a file is written before the file moves; a line with a folder before the folder
    is created.
    """

    path: Path

    @classmethod
    def beside(cls, plan: Path) -> Journal:
        """Return the journal of a plan file."""
        return cls(plan.with_name(f"{plan.name}.journal"))

    def folder(self) -> Path | None:
        """Return the target folder; None if the plan was not applied."""
        lines = self._lines()
        if not lines:
            return None
        return Path(lines[0] if self._is_of_first_format(lines) else lines[0]["to"])

    def moves(self) -> list[str]:
        """Return the relative targets of the files whose move has begun, in their order."""
        return [line for line in self._lines()[1:] if isinstance(line, str)]

    def folders(self) -> list[Path]:
        """Return the folders that applying the plan has created, a folder after the one that it is in.

        imrec 0.1 recorded none: the target folder counts as created, and all folders in it that the moves needed.
        """
        lines = self._lines()
        if self._is_of_first_format(lines):
            to = Path(lines[0])
            parents = {folder for below in self.moves() for folder in (to / below).parents}
            return sorted(folder for folder in parents if folder.is_relative_to(to))
        return [Path(line["folder"]) for line in lines[1:] if isinstance(line, dict)]

    def begin(self, to: Path) -> None:
        """Create the journal, or drop the incomplete last line of an interrupted run.

        Raises:
            BadPlan: The journal cannot be written.
        """
        lines = self._lines() or [{"to": str(to)}]
        unfinished = self.path.with_name(f"{self.path.name}.part")
        try:  # atomic: without its journal a plan that is half applied could not be undone
            unfinished.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
            os.replace(unfinished, self.path)
        except OSError as error:
            raise BadPlan(f"cannot write {self.path}: {error.strerror or error}; nothing was moved") from error

    def append(self, below: str) -> None:
        """Record that the move of a file begins."""
        self._append([below])

    def append_folders(self, folders: Iterable[Path]) -> None:
        """Record folders before they are created."""
        self._append([{"folder": str(folder)} for folder in folders])

    def end(self) -> None:
        """Remove the journal."""
        self.path.unlink(missing_ok=True)

    def _append(self, lines: list[Any]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write("".join(json.dumps(line) + "\n" for line in lines))
            file.flush()
            os.fsync(file.fileno())

    def _lines(self) -> list[Any]:
        """Read the complete lines; an incomplete one was never acted on."""
        try:
            lines = [json.loads(line) for line in self.path.read_text("utf-8").split("\n")[:-1]]
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            raise BadPlan(f"{self.path} cannot be read ({error})") from error
        if lines and not (self._is_of_first_format(lines) or (isinstance(lines[0], dict) and "to" in lines[0])):
            raise BadPlan(f"{self.path} is not a journal of imrec duplicates; its first line is {lines[0]!r}")
        return lines

    @staticmethod
    def _is_of_first_format(lines: list[Any]) -> bool:
        """Test whether imrec 0.1 wrote the journal: its first line is the target folder alone."""
        return bool(lines) and isinstance(lines[0], str)
