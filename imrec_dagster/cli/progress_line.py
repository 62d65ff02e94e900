"""Progress of a command on stderr: one line that is overwritten in a terminal, a line every half minute elsewhere."""

import re
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from imrec_core.duplicates.progress import Progress

_EVERY = 30.0  # seconds between two lines in a file
_SILENT = 2.0  # seconds after which a terminal shows what a command waits for
_TICK = 1.0  # seconds between two looks at the clock
_COUNT = re.compile(r"[\d,]+ of [\d,]+ ")  # starts a line that comes often, so that files get few of them


class ProgressLine:
    """Prints the steps of a command, and for how long the current one takes; used as a context.

    Args:
        waiting: What the command waits for until the first step. It is shown only if it takes long, and erased.
        quiet: Whether to print nothing.
        on_tick: Called about once a second, in another thread.
    """

    def __init__(self, waiting: str = "", *, quiet: bool = False, on_tick: Callable[[], object] = lambda: None) -> None:
        self._is_quiet, self.is_terminal, self._on_tick = quiet, sys.stderr.isatty(), on_tick
        self._text, self._step, self._is_transient = waiting, "", True
        self._begun = self._printed = time.monotonic()
        self._width = 0  # of the line that the cursor is in
        self._lock, self._is_done = threading.RLock(), threading.Event()
        self._clock = threading.Thread(target=self._tick, daemon=True, name="progress")

    def __enter__(self) -> "ProgressLine":
        if not self._is_quiet:
            self._clock.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_done.set()
        if self._clock.ident is not None:
            self._clock.join()
        self._end_line()

    def __call__(self, progress: "Progress | str") -> None:
        """Print a step or its progress; in a file a count of the same step only after half a minute."""
        step = re.sub(r"[\d,.]+", "0", progress) if isinstance(progress, str) else progress.step
        line, is_rare = str(progress), isinstance(progress, str) and not _COUNT.match(progress)
        if self._is_quiet:
            return
        with self._lock:
            now, is_new = time.monotonic(), step != self._step or self._is_transient
            if is_new:
                self._end_line()
                self._begun = now
            self._text, self._step, self._is_transient = line, step, False
            if self.is_terminal:
                self._draw(line)
            elif is_new or is_rare or now - self._printed >= _EVERY:
                self._print(line)

    def wait_for(self, text: str) -> None:
        """Set what the command waits for: shown if it takes long, then erased; nothing if empty."""
        with self._lock:
            if not self._is_transient:
                self._end_line()
            if not self._is_transient or not text or not self._text:
                self._begun = time.monotonic()
            self._text, self._is_transient = text, True

    def note(self, text: str) -> None:
        """Print a line that stays, also if quiet; what the command waits for is shown again below it."""
        with self._lock:
            self._end_line()
            self._print(text)

    def _tick(self) -> None:
        while not self._is_done.wait(_TICK):
            self._on_tick()
            with self._lock:
                now = time.monotonic()
                if not self._text:
                    continue
                minutes, seconds = divmod(int(now - self._begun), 60)
                line = f"{self._text} ({minutes}:{seconds:02})"
                if not self.is_terminal:
                    if now - self._printed >= _EVERY:
                        self._print(line)
                elif now - self._begun >= _SILENT and now - self._printed >= _TICK:
                    self._draw(line)

    def _print(self, line: str) -> None:
        click.echo(line, err=True)
        self._printed = time.monotonic()

    def _draw(self, line: str) -> None:
        import shutil

        line = line[: max(shutil.get_terminal_size().columns - 1, 1)]  # a wrapped line cannot be overwritten
        click.echo(f"\r{line.ljust(self._width)}", nl=False, err=True)
        self._width, self._printed = len(line), time.monotonic()

    def _end_line(self) -> None:
        """Go to a new line; erase what is transient."""
        if self._width and self.is_terminal:
            click.echo(f"\r{' ' * self._width}\r" if self._is_transient else "\n", nl=False, err=True)
        self._width = 0
