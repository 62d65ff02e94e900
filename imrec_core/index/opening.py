"""Open the current generation of a lake, or the newest whole one if that is damaged."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from imrec_core.errors import DamagedGeneration, MissingTable, StaleIndex
from imrec_core.features import known_features
from imrec_core.index.generation import Generation
from imrec_core.lake.lake import Lake
from imrec_core.lake.tags import tag_file

if TYPE_CHECKING:
    from imrec_core.features.feature_metric import FeatureMetric
    from imrec_core.index.calibration import Calibration

log = logging.getLogger(__name__)


def open_generation(lake: Lake) -> Generation:
    """Open the current generation of a lake, or with a warning the newest whole one instead.

    Graphs that are damaged are left out. The vectors are verified in the background; see `vector_check`.

    Raises:
        MissingTable: No generation was ever published.
        StaleIndex: No generation can be read.
    """
    lake.check_version()
    current = lake.current_generation()
    if current is None:
        raise MissingTable(f"{lake.root} has no generation yet; run: imrec build")
    others = [name for name in reversed(lake.generations()) if name != current]
    failure: StaleIndex | None = None
    for name in (current, *others):
        try:
            generation = _open(lake, name)
        except StaleIndex as error:
            if lake.current_generation() != current:  # removed while it was opened: a newer one exists
                return open_generation(lake)
            failure = failure or error
            continue
        if failure is not None:
            log.warning("%s; using generation %s instead. To repair it, run: imrec build", failure, name)
        for lost in generation.damaged:
            log.warning("%s; searches use an exact scan instead. To repair it, run: imrec build", lost)
        generation.check_vectors(lake.set_aside)
        return generation
    raise StaleIndex(f"{failure}; run: imrec build") from failure


def readable_generation(lake: Lake) -> Generation | None:
    """Open the current generation; None if there is none or it is damaged."""
    current = lake.current_generation()
    try:
        return _open(lake, current) if current else None
    except StaleIndex:
        return None


def _open(lake: Lake, name: str) -> Generation:
    """Open a generation, and move a damaged file of it aside; a remote one is downloaded again.

    Raises:
        StaleIndex: It cannot be read.
    """
    try:
        return _open_once(lake, name)
    except DamagedGeneration as error:
        can_move = error.is_certain and error.path.exists()
        if not (can_move and lake.set_aside(error.path) and lake.is_remote):
            raise
        return _open_once(lake, name)


def _open_once(lake: Lake, name: str) -> Generation:
    generation = Generation(
        lake.local_generation(name),
        known_features(lake),
        checksum=lake.manifest_checksum(name),
        set_aside=lake.set_aside,
        tags=tag_file(lake),
    )
    generation.calibrator = _pair_calibrator()
    return generation


def _pair_calibrator() -> Callable[[Generation, FeatureMetric], Calibration]:
    """Return a `PairCalibrator`, which few searches need, so that its modules are imported when it is called."""

    @functools.cache
    def calibrator() -> Callable[[Generation, FeatureMetric], Calibration]:
        from imrec_core.index.calibration_pairs import PairCalibrator

        return PairCalibrator()

    return lambda generation, pair: calibrator()(generation, pair)
