"""Progress of a search for duplicates on stderr: one line that is overwritten in a terminal, few lines elsewhere."""

import sys
import time
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from imrec_core.duplicates.progress import Progress

_EVERY = 10.0  # seconds between two lines of a step in a file


class ProgressLine:
    """Prints the progress of each step; used as a context, which ends the last line."""

    def __init__(self) -> None:
        self._step, self._printed, self._width = "", 0.0, 0
        self._is_terminal = sys.stderr.isatty()

    def __enter__(self) -> "ProgressLine":
        return self

    def __exit__(self, *_: object) -> None:
        if self._width:
            click.echo(err=True)

    def __call__(self, progress: "Progress") -> None:
        """Print a line, in a file only for a new step or after some seconds."""
        is_new, line = progress.step != self._step, str(progress)
        if self._is_terminal:
            if is_new and self._width:
                click.echo(err=True)
            click.echo(f"\r{line.ljust(0 if is_new else self._width)}", nl=False, err=True)
            self._width = len(line)
        elif is_new or time.monotonic() - self._printed > _EVERY:
            click.echo(line, err=True)
            self._printed = time.monotonic()
        self._step = progress.step
