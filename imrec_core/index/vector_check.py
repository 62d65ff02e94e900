"""Verify the vectors of an open generation in the background, block by block.

Reading all vectors before the first search would cost bytes by hash rate, seconds for half a million images. Instead a
thread reads them afterwards, with rests, and a damaged file is not used again: the generation before takes its place.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from imrec_core.index.integrity import GenerationFiles, mark_damaged

log = logging.getLogger(__name__)

_REST = 9.0  # seconds of rest per second of work: a tenth of one core


class VectorCheck:
    """A thread that verifies the vectors of a generation once.

    Args:
        files: Files of the generation.
        set_aside: Called with the path of a damaged file.

    Attributes:
        found_damage: Set when a file is damaged.
    """

    def __init__(self, files: GenerationFiles, set_aside: Callable[[Path], object]) -> None:
        self._files, self._set_aside = files, set_aside
        self.found_damage, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="imrec-vector-check", daemon=True)

    def start(self) -> None:
        """Start the thread, if there is anything to verify."""
        if any(self._files.blocks.values()):
            self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end after the current block."""
        self._stop.set()

    def wait(self) -> None:
        """Wait until the thread has ended."""
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        for name, file in self._files.vectors.items():
            try:
                is_whole = self._is_whole(name)
            except OSError:  # the generation was removed
                return
            if not is_whole:
                mark_damaged(file.path)
                self._set_aside(file.path)
                self.found_damage.set()
                log.warning(
                    "generation %s: %s differs from its checksum; using the generation before. "
                    "To repair it, run: imrec build",
                    *(self._files.folder.name, name),
                )
                return

    def _is_whole(self, name: str) -> bool:
        """Verify a file; True also if the thread has to stop before its end."""
        blocks = self._files.check_blocks(name)
        while True:
            started = time.perf_counter()
            is_whole = next(blocks, None)
            if is_whole is None or self._stop.wait(_REST * (time.perf_counter() - started)):
                return True
            if not is_whole:
                return False
