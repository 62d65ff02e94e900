"""Images that could not be read or decoded, as the images tables list them."""

from __future__ import annotations

from imrec_core.lake.lake import Lake
from imrec_core.lake.storage.files import exists


def failed_images(lake: Lake, shard: str) -> list[str]:
    """Ids of the images of a shard that could not be read or decoded."""
    path = lake.images_path(shard)
    found = lake.read_table(path, ["image_id", "status"]) if exists(path) else None
    if found is None:
        return []
    statuses = found["status"].to_pylist()
    return [name for name, status in zip(found["image_id"].to_pylist(), statuses, strict=True) if status == "failed"]
