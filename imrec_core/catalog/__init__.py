"""Which images exist: scanning of sources, image ids, shard manifests, and columns that users join to images."""

from typing import TYPE_CHECKING

from imrec_core.runtime.lazy import lazy_names

if TYPE_CHECKING:
    from imrec_core.catalog.ids import image_id as image_id

__getattr__ = lazy_names(
    __name__,
    {
        "CatalogDiff": "manifests",
        "ShardManifest": "manifests",
        "diff": "manifests",
        "find_images": "scan",
        "image_id": "ids",
        "require_image": "scan",
        "scan_source": "scan",
        "shard_version": "manifests",
        "update": "manifests",
    },
)
