"""Keys of the tables that keep what is known of lost images; see `lost_content`."""

from __future__ import annotations

from imrec_core.lake.lake import Lake

KEPT_PREFIX = ".lost-"  # of the key of a kept table, before the time of the loss and the key of its shard


def kept_shards(lake: Lake) -> list[str]:
    """List the keys of the kept tables, oldest first. Their tables lie beside those of the shards."""
    layout = lake.layout
    return [shard for shard in layout.stored_shards(layout.images_folder) if shard.startswith(KEPT_PREFIX)]
