"""What assets are given: the lake, and somebody to tell how it goes."""

from collections.abc import Sequence

import dagster as dg

from imrec_core.lake.lake import Lake
from imrec_dagster.dead_runs import PROCESS_TAG, this_process


class LakeResource(dg.ConfigurableResource):
    """The lake that assets write to, and what extracts for it.

    Attributes:
        device: That networks run on: `auto`, `cpu`, `cuda`.
        dask: Scheduler of the Dask cluster whose workers extract, as in `tcp://10.0.0.1:8786`; empty for none.
    """

    root: str = "data_lake"
    device: str = "auto"
    dask: str = ""

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Note in which process a run is, for when that is killed."""
        run, process = context.run, this_process()
        if run is not None and context.instance is not None and run.tags.get(PROCESS_TAG) != process:
            context.instance.add_run_tags(run.run_id, {PROCESS_TAG: process})

    def open(self) -> Lake:
        return Lake(self.root).open_for_writing()


class Progress:
    """Told how a build goes. In the UI nobody listens; `imrec build` draws a bar and keeps the reports."""

    def expect(self, images: int, again: int, features: Sequence[str]) -> None:
        """Before anything is read: how many images there are to read.

        Args:
            images: Those that are new or have changed, and all that are read again; the others are kept.
            again: Those that are as they were, and are only decoded again for these features.
            features: Their names.
        """

    def images(self, ok: int, failed: int) -> None:
        """After each batch: images that were read well, and that failed."""

    def waits(self, fault: Exception, seconds: float) -> None:
        """Before a step is tried again because the storage failed."""

    def done(self, report: object) -> None:
        """After each piece of work: what the core function returned."""
