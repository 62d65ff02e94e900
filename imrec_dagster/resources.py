"""Resources of the assets: the lake, and a listener for progress."""

from collections.abc import Sequence

import dagster as dg

from imrec_core.lake.lake import Lake
from imrec_core.models.device_names import parse_devices
from imrec_dagster.dead_runs import tag_worker
from imrec_dagster.home import dagster_home


class LakeResource(dg.ConfigurableResource):
    """The lake that assets read and write, and the devices that extract its features.

    Attributes:
        device: Devices of the networks: `auto`, `cpu`, `cuda`, or CUDA devices by number, such as `cuda:0,cuda:1`.
        dask: Scheduler address of a Dask cluster that extracts, such as `tcp://10.0.0.1:8786`; empty for none.
    """

    root: str = "data_lake"
    device: str = "auto"
    dask: str = ""

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Tag the run with its worker, so that `dead_runs` can detect that it was killed.

        Raises:
            DeclarationError: `device` is not valid.
            LakeError: The launchpad names another lake than that of the instance, whose partitions would be mixed up.
        """
        parse_devices(self.device)
        if context.run is not None and context.instance is not None:
            if not context.instance.is_ephemeral:
                dagster_home(Lake(self.root), context.instance.root_directory)
            tag_worker(context.instance, context.run)

    def open(self) -> Lake:
        """Open the lake for writing."""
        return Lake(self.root).open_for_writing()


class Progress:
    """Callbacks of a build. These do nothing; `imrec build` overrides them to draw a bar and keep the reports."""

    def expect(self, images: int, again: int, features: Sequence[str]) -> None:
        """Announce, before extraction, how many images it reads.

        Args:
            images: New and changed images, and unchanged ones that are decoded again.
            again: Unchanged images that are decoded again for `features`.
            features: Names of features that are missing or stale.
        """

    def images(self, ok: int, failed: int) -> None:
        """Count the images of a batch that were read, and those that failed."""

    def wait_for_retry(self, fault: Exception, seconds: float) -> None:
        """Announce that a step is tried again, because the storage failed."""

    def done(self, report: object) -> None:
        """Receive the report of a core function."""
