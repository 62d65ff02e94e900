"""Dagster definitions over a lake, and the `imrec` command (`cli/`).

One module per Dagster concept: assets, checks, partitions, resources, jobs, schedules, sensors. Work on images, vectors
and indexes belongs in `imrec_core`. For a code location of your own: `build_definitions` and `LakeResource`.
"""

from typing import TYPE_CHECKING

from imrec_core.runtime.lazy import lazy_names

if TYPE_CHECKING:
    from imrec_dagster.code_location import build_definitions
    from imrec_dagster.resources import LakeResource

_HOME = {"LakeResource": "resources", "build_definitions": "code_location"}

__all__ = ["LakeResource", "build_definitions"]

__getattr__ = lazy_names(__name__, _HOME)
