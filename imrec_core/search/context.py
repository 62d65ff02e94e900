"""SearchContext: the open generation of a lake with what its searches share."""

from __future__ import annotations

from dataclasses import dataclass

from imrec_core.index.generation import Generation
from imrec_core.index.opening import open_generation
from imrec_core.lake.lake import Lake
from imrec_core.search.match_threshold import JointCalibrations
from imrec_core.search.query_encoder import QueryEncoder


@dataclass(frozen=True)
class SearchContext:
    """An open generation, with the query encoder and the calibrations that are cached while it is in use.

    Attributes:
        published: Id of the published generation. If that one is damaged, `generation` is an older one.
    """

    published: str | None
    generation: Generation
    encoder: QueryEncoder
    calibrations: JointCalibrations

    @classmethod
    def open(cls, lake: Lake) -> SearchContext:
        """Open the generation in use.

        Raises:
            MissingTable: The lake was never built.
            StaleIndex: No generation can be read.
        """
        published = lake.current_generation()
        generation = open_generation(lake)
        return cls(published, generation, QueryEncoder(lake), JointCalibrations(generation))
