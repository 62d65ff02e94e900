"""Images that a user has hidden from the lists of curation: those with the tag `hidden`."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from imrec_core.index.generation import Generation
from imrec_core.lake.lake import Lake
from imrec_core.lake.tags import tag_file

HIDDEN = "hidden"
"""Tag of hidden images. Searches find them; the lists of issues, outliers and labels leave them out."""


def hidden_images(lake: Lake, generation: Generation) -> frozenset[str]:
    """Return the ids of the hidden images.

    Raises:
        SchemaMismatch: The file of the tags is damaged.
    """
    contents = tag_file(lake).read().get(HIDDEN)
    if not contents:
        return frozenset()
    rows = generation.live_table(["image_id", "content_hash"])
    is_hidden = pc.is_in(rows["content_hash"], pa.array(sorted(contents), pa.string()))
    return frozenset(rows["image_id"].filter(is_hidden).to_pylist())
