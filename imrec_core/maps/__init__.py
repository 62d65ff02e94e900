"""Maps: 2-D layouts of the images by similarity, with clusters and the nearest neighbours of each image."""

from __future__ import annotations

from imrec_core.maps.alignment import places_of
from imrec_core.maps.build import SAMPLE, MapReport, build_map, map_name, update_map
from imrec_core.maps.colouring import Colours, colour_names, colours_of
from imrec_core.maps.layout import METHODS
from imrec_core.maps.map_table import Cluster, Map, load_map, map_names

__all__ = [
    "METHODS",
    "SAMPLE",
    "Cluster",
    "Colours",
    "Map",
    "MapReport",
    "build_map",
    "colour_names",
    "colours_of",
    "load_map",
    "map_name",
    "map_names",
    "places_of",
    "update_map",
]
