"""The definitions over the lake that `IMREC_LAKE` names. `imrec ui` and `workspace.yaml` load `defs`."""

import os

from imrec_core.lake.lake import Lake
from imrec_dagster.code_location import build_definitions
from imrec_dagster.home import claim_current_home
from imrec_dagster.resources import LakeResource

__all__ = ["build_definitions", "defs"]

_ROOT = os.environ.get("IMREC_LAKE", "data_lake")
claim_current_home(Lake(_ROOT))  # commands of Dagster do not open the instance by imrec
defs = build_definitions(
    LakeResource(
        root=_ROOT,
        device=os.environ.get("IMREC_DEVICE", "auto"),
        dask=os.environ.get("IMREC_DASK", ""),
    )
)
