"""Maps: 2-D layouts of the images by similarity, with clusters and the nearest neighbours of each image."""

from __future__ import annotations

from imrec_core.explore.colours import Colours, colour_names, colours_of
from imrec_core.explore.gallery import places_of
from imrec_core.explore.layout import METHODS
from imrec_core.explore.making import SAMPLE, MapReport, make_map, map_name, update_map
from imrec_core.explore.maps import Cluster, Map, map_names, open_map

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
