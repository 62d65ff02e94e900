"""The files of one lake: their paths, schemas, atomic writes and settings. No other package joins a lake path."""

from typing import TYPE_CHECKING

from imrec_core.runtime.lazy import lazy_names

if TYPE_CHECKING:
    from imrec_core.lake.lake import Lake as Lake

__getattr__ = lazy_names(
    __name__,
    {
        "GENERATION_FACTS": "layout",
        "LAKE_VERSION": "layout",
        "Lake": "lake",
        "made_from_of": "parquet",
        "number_of": "layout",
        "source_of": "layout",
    },
)
