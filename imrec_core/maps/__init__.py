"""Maps: 2-D layouts of the images by similarity, with clusters and the nearest neighbours of each image."""

from __future__ import annotations

from imrec_core.maps.alignment import align_rows
from imrec_core.maps.build import SAMPLE, MapReport, build_map, map_name, update_map
from imrec_core.maps.cluster_names import ClusterName, Term, name_clusters
from imrec_core.maps.colouring import Colours, colour_names, colours_of
from imrec_core.maps.layout import METHODS
from imrec_core.maps.map_table import Cluster, Map, load_map, map_names
from imrec_core.runtime.lazy import lazy_names

__all__ = [
    "METHODS",
    "SAMPLE",
    "Cluster",
    "ClusterName",
    "Colours",
    "Map",
    "MapReport",
    "Term",
    "align_rows",
    "build_map",
    "colour_names",
    "colours_of",
    "load_map",
    "map_name",
    "map_names",
    "name_clusters",
    "update_map",
]

__getattr__ = lazy_names(__name__, {"align_rows": "alignment"}, {"places_of": "align_rows"})  # its name in version 0.1
