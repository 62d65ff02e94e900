"""Features as a generation holds them for searches, made from the features whose tables a lake has.

The embedding of a network without a text tower is searched by its content vector, which has the name of the network;
`NAME:full` is the embedding itself, and `NAME_neighbours` averages neighbourhoods. Histograms are held in half floats.
`Feature.table` names the tables that the vectors come from.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from imrec_core.features.feature import Feature
from imrec_core.features.feature_metric import full_name, split_name
from imrec_core.features.metrics import cosine, dot, euclidean, manhattan
from imrec_core.features.networks import with_size
from imrec_core.features.projections import content_table, projection
from imrec_core.lake.settings import Settings

_FORMER_PCA, _NEIGHBOURS = "_pca", "_neighbours"


def searched(feature: Feature) -> Feature:
    """Return a feature as a generation holds it."""
    if feature.content is not None:
        return _content_vector(feature)
    return replace(feature, dtype="float16") if feature.is_histogram else feature


def full_vectors(network: Feature) -> Feature:
    """Return the embedding of a network, as a generation holds it beside the content vector."""
    name = full_name(network.name)
    return replace(network, name=name, table=network.name, candidates=network.name, content=None)


def _content_vector(network: Feature) -> Feature:
    table = content_table(network)
    assert table.projection is not None
    return replace(
        network,
        dims=table.dims,
        metrics=(cosine, euclidean, manhattan, dot),
        compute=None,
        model=None,
        candidates=None,
        content=None,
        projection=replace(table.projection, bases=(full_vectors(network),)),
        params=table.params,
        table=table.name,
    )


def is_embedding(feature: Feature) -> bool:
    """Return whether the vectors of a feature of a generation are those of a network, in full or for content."""
    return feature.model is not None or any(base.name == full_name(feature.name) for base in feature.bases)


def averaged_name(network: str) -> str:
    """Return the name of the feature with the averaged neighbourhoods of a network."""
    return f"{network}{_NEIGHBOURS}"


def neighbourhood(network: Feature, count: int) -> Feature:
    """Return the vectors by which a network is searched, each averaged with its `count` nearest in the generation."""
    base = searched(network)
    return replace(
        base,
        name=averaged_name(network.name),
        summary=f"{network.name}, each image averaged with the {count} most similar: the same kind of thing.",
        source="Arandjelović & Zisserman 2012, doi:10.1109/CVPR.2012.6248018",
        compute=None,
        model=None,
        content=None,
        projection=None,
        averaged=base,
        params={"neighbourhood": count, **network.params},
        table=base.stored_as,
    )


def declarations(name: str, record: Mapping[str, Any], known: Mapping[str, Feature]) -> Iterator[Feature]:
    """Yield the declarations that an entry of a generation may have been made by, the newest first.

    The lake may have had another quality then. Generations of version 0.1 have the embedding under the name of the
    network, its HNSW graph in the feature `NAME_pca`, and histograms in single floats.

    Args:
        name: Name of a feature in a generation.
        record: Its entry in `generation.json`.
        known: Features of the lake.
    """
    if name in known:
        for feature in (known[name], _as_stored(known[name], record)):
            yield searched(feature)
            yield feature
    for suffix, make in _BY_SUFFIX.items():
        network = known.get(name.removesuffix(suffix)) if name.endswith(suffix) else None
        if network is not None and network.model is not None:
            yield make(_as_stored(network, record), record)


def _as_stored(feature: Feature, record: Mapping[str, Any]) -> Feature:
    """Return a network with the size that an entry of a generation was made with; other features stay.

    Args:
        record: Entry of the embedding, or of vectors made from it.
    """
    if feature.model is None:
        return feature
    embedding = record
    while "bases" in embedding:  # averages are made from content vectors, and these from the embedding
        embedding = embedding["bases"][0]
    side = json.loads(embedding.get("params", "{}")).get("side")
    pca_dims = feature.model.pca_dims if "weights" in record else int(record["dims"])
    return with_size(feature, side, pca_dims)


def _former_pca(network: Feature, record: Mapping[str, Any]) -> Feature:
    return projection(network.name + _FORMER_PCA, network, int(record["dims"]))


def _stored_neighbourhood(network: Feature, record: Mapping[str, Any]) -> Feature:
    return neighbourhood(network, json.loads(record["params"])["neighbourhood"])


_BY_SUFFIX = {
    full_name(""): lambda network, _: full_vectors(network),
    _FORMER_PCA: _former_pca,
    _NEIGHBOURS: _stored_neighbourhood,
}


def current_name(name: str, known: Mapping[str, Feature]) -> str:
    """Return the name that a feature of version 0.1 has now; other names stay.

    `NAME_pca` was the projection in which the graph of a network was built, and is the content vector now.
    """
    network = known.get(name.removesuffix(_FORMER_PCA)) if name.endswith(_FORMER_PCA) and name not in known else None
    return network.name if network is not None and network.content is not None else name


def by_searched_name(known: Mapping[str, Feature], settings: Settings) -> dict[str, Feature]:
    """Return the features that a generation of these features may have, by name."""
    networks = [feature for feature in known.values() if feature.content is not None]
    tables = {network.content for network in networks}
    held = {name: searched(feature) for name, feature in known.items() if name not in tables}
    held |= {full_name(network.name): full_vectors(network) for network in networks}
    counts = {name: settings.neighbourhood_of(name) for name in settings.model_options if name in known}
    averaged = [neighbourhood(known[name], count) for name, count in counts.items() if count]
    return held | {feature.name: feature for feature in averaged}


def select_searched(settings: Settings, chosen: Sequence[Feature]) -> list[Feature]:
    """Return the features that a generation of chosen features has.

    Args:
        chosen: Features of the lake, with their bases.
    """
    held = by_searched_name({feature.name: feature for feature in chosen}, settings)
    asked = {feature_name for feature_name, _ in map(split_name, settings.features)}
    extra = {full_name(feature.name) for feature in chosen} - asked
    return [feature for name, feature in held.items() if name not in extra]


def present_name(name: str, held: Mapping[str, Feature], known: Mapping[str, Feature]) -> str:
    """Return the name by which a generation has a feature; an unknown name stays.

    Args:
        held: Features of the generation.
        known: Features of the lake.
    """
    if name in held:
        return name
    current = current_name(name, known)
    if current != name:
        warnings.warn(f"the feature {name} is deprecated; use {current}", DeprecationWarning, stacklevel=4)
    network = name.removesuffix(full_name(""))
    has_full = network != name and network in held and held[network].model is not None
    return network if has_full else current  # in version 0.1, the name of a network was that of its full vectors
