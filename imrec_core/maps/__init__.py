"""Maps: 2-D layouts of the images by similarity, with clusters and the nearest neighbours of each image."""

from __future__ import annotations

from imrec_core.maps.alignment import places_of
from imrec_core.maps.build import SAMPLE, MapReport, make_map, map_name, update_map
from imrec_core.maps.colouring import Colours, colour_names, colours_of
from imrec_core.maps.layout import METHODS
from imrec_core.maps.map_table import Cluster, Map, map_names, open_map

__all__ = [
    "METHODS",
    "SAMPLE",
    "Cluster",
    "Colours",
    "Map",
    "MapReport",
    "colour_names",
    "colours_of",
    "make_map",
    "map_name",
    "map_names",
    "open_map",
    "places_of",
    "update_map",
]
