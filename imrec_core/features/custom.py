"""Features of a lake: the built-in `FEATURES` and the custom features that its `lake.toml` declares.

A custom feature is always computed, without an entry in the setting `features`. The base features of a selected feature
are computed too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from imrec_core.errors import BadSettings, DeclarationError, UnknownName
from imrec_core.features import colour
from imrec_core.features.colour_spaces import FINEST, SPACES
from imrec_core.features.combined import combination
from imrec_core.features.feature import FEATURES, Feature, find_feature
from imrec_core.features.feature_metric import FeatureMetric, split_name
from imrec_core.features.networks import network
from imrec_core.features.projections import content_table, projection
from imrec_core.features.reduction import METHODS
from imrec_core.features.searched import by_searched_name, current_name, select_searched
from imrec_core.images import properties
from imrec_core.lake.lake import Lake
from imrec_core.lake.settings import IndexParams, Settings
from imrec_core.lake.storage.files import AnyPath
from imrec_core.models.custom import custom_model
from imrec_core.models.model import Model
from imrec_core.models.quality import with_quality
from imrec_core.models.registry import MODELS
from imrec_core.runtime.numbers import finite_number, shorten

_NAME = re.compile(r"[a-z][a-z0-9_]*")  # safe in Dagster keys, SQL and file names
_RESERVED = ("images", "catalog", "rows", "shard_manifest", "generation")


def known_features(lake: Lake) -> Mapping[str, Feature]:
    """Return all built-in and custom features of a lake by name.

    Raises:
        BadSettings, UnknownName: A declaration in `lake.toml` is invalid.
    """
    return _Declarations(lake.settings(), lake.root).known


def check_settings(settings: Settings, base: AnyPath) -> None:
    """Check all declarations of features, models, indexes and mixes in the settings.

    Args:
        base: Folder of the lake.

    Raises:
        BadSettings, UnknownName: A declaration is invalid.
    """
    _Declarations(settings, base)


def chosen_features(lake: Lake) -> list[Feature]:
    """Return the features that a lake computes: listed, custom, and their bases.

    Raises:
        BadSettings, UnknownName: A declaration in `lake.toml` is invalid, or a listed feature does not exist.
    """
    settings = lake.settings()
    declared = _Declarations(settings, lake.root)
    known = declared.known
    chosen: dict[str, Feature] = {}
    for name in (*map(table_name, settings.features), *declared.features):
        feature = find_feature(current_name(name, known), known)
        chosen[feature.name] = feature
        if feature.content is not None:
            chosen[feature.content] = known[feature.content]
    for feature in list(chosen.values()):
        chosen |= {base.name: base for base in _all_bases(feature) if base.name not in chosen}
    return list(chosen.values())


def generation_features(lake: Lake) -> list[Feature]:
    """Return the features that the next generation of a lake has, as searches use them.

    Raises:
        BadSettings, UnknownName: As for `chosen_features`.
    """
    return select_searched(lake.settings(), chosen_features(lake))


def table_name(chosen: str) -> str:
    """Return the name of the feature to extract for a name under `features` in `lake.toml`."""
    return chosen.removesuffix(":full")


def decoded_side(lake: Lake, *others: Feature) -> int:
    """Return the pixels that the shorter side of a decoded image needs.

    All features of the settings count, even if a run computes only some of them. So partial runs and queries decode
    images at the same size as a full run.
    """
    return max([properties.MIN_SIDE, *(feature.min_side for feature in (*chosen_features(lake), *others))])


def custom_models(lake: Lake) -> list[Model]:
    """Return the custom models that `lake.toml` declares."""
    return [custom_model(name, table, lake.root) for name, table in lake.settings().models.items()]


def _all_bases(feature: Feature) -> Iterator[Feature]:
    for base in feature.bases:
        yield base
        yield from _all_bases(base)


def _built_in(quality: str) -> dict[str, Feature]:
    """Return the built-in features with the networks at a quality."""
    features = dict(FEATURES)
    for name, model in MODELS.items():
        wanted = with_quality(model, quality)
        if wanted != model and FEATURES[name].model is model:
            features[name] = network(wanted)
            if content := features[name].content:
                features[content] = content_table(features[name])
    return features


class _Declarations:
    """Custom features of a `lake.toml`, each made after its bases.

    Attributes:
        features: The custom features, by name.
    """

    def __init__(self, settings: Settings, base: AnyPath) -> None:
        self._settings = settings
        self._built_in = _built_in(settings.quality)
        self.features: dict[str, Feature] = {}
        self._in_progress: list[str] = []  # names of features that are being made, to detect cycles
        self._check_names()
        for name, table in settings.models.items():
            self.features[name] = network(with_quality(custom_model(name, table, base), settings.quality))
            if content := self.features[name].content:
                self.features[content] = content_table(self.features[name])
        for name, table in settings.histograms.items():
            self.features[name] = _histogram(name, table)
        for name in (*settings.projections, *settings.combined):
            self._make(name)
        for name in settings.model_options:
            if self._find(f"model_options.{name}", name).model is None:
                raise BadSettings(f"lake.toml: model_options.{name}: {name} is not an embedding of a model")
        for name, table in settings.indexes.items():
            IndexParams.of(name, table)
            self._check_index(name)
        for name, weights in settings.mixes.items():
            self._check_mix(name, weights)

    @property
    def known(self) -> dict[str, Feature]:
        """All features of the lake, by name."""
        return {**self._built_in, **self.features}

    def _check_names(self) -> None:
        kinds = ("models", "histograms", "projections", "combined")
        names = [name for kind in kinds for name in getattr(self._settings, kind)]
        kinds = ("content", "full", "neighbours", "pca")  # of features that come with a model
        derived = [f"{name}_{kind}" for name in self._settings.models for kind in kinds]
        for name in names:
            if not _NAME.fullmatch(name):
                raise BadSettings(f"lake.toml: invalid name {name!r}; expected lowercase letters, digits and '_'")
            if name in FEATURES or name in _RESERVED or [*names, *derived].count(name) > 1:
                raise BadSettings(f"lake.toml: the name {name!r} is already in use; choose another name")

    def _find(self, where: str, name: str) -> Feature:
        """Return a feature by name, and make it first if the lake declares it."""
        if name in self._settings.projections or name in self._settings.combined:
            return self._make(name)
        try:
            return find_feature(current_name(name, self.known), self.known)
        except UnknownName as error:
            raise BadSettings(f"lake.toml: {where}: {error}") from error

    def _find_searched(self, where: str, name: str) -> Feature:
        """Return a feature by its name in a generation."""
        known = self.known
        try:
            return find_feature(current_name(name, known), by_searched_name(known, self._settings))
        except UnknownName as error:
            raise BadSettings(f"lake.toml: {where}: {error}") from error

    def _make(self, name: str) -> Feature:
        if name in self._in_progress:
            cycle = " → ".join([*self._in_progress[self._in_progress.index(name) :], name])
            raise BadSettings(f"lake.toml: {cycle}: a feature cannot be computed from itself")
        if name not in self.features:
            self._in_progress.append(name)
            if name in self._settings.projections:
                self.features[name] = self._projection(name, self._settings.projections[name])
            else:
                weights = self._settings.combined[name]
                names = [split_name(part)[0] for part in weights]
                parts = {part: self._find(f"combined.{name}", part) for part in names}
                self.features[name] = combination(name, weights, parts)
            self._in_progress.pop()
        return self.features[name]

    def _projection(self, name: str, table: Mapping[str, Any]) -> Feature:
        where = f"projections.{name}"
        method = _read_value(where, table, "method", str, "pca")
        if method not in METHODS:
            raise BadSettings(f"lake.toml: {where}: {UnknownName('method', method, METHODS)}")
        given = {key: value for key, value in table.items() if key not in ("base", "dims", "method")}
        try:
            params = METHODS[method].settings(given)
        except DeclarationError as error:
            raise BadSettings(f"lake.toml: {where}: {error}") from error
        base = self._find(where, _read_value(where, table, "base", str))
        dims = _read_value(where, table, "dims", int)
        if base.dtype == "uint64":
            raise BadSettings(
                f"lake.toml: {where}: base {base.name} is a hash; expected a feature with vectors of numbers"
            )
        if not 1 <= dims <= base.dims:
            raise BadSettings(f"lake.toml: {where}: dims is {dims}; expected 1 to {base.dims}, the dims of {base.name}")
        return projection(name, base, dims, method=method, least_rows=dims, **params)

    def _check_index(self, name: str) -> None:
        by = FeatureMetric.parse(name, lambda feature_name: self._find_searched(f"indexes.{name}", feature_name))
        if not by.metric.can_have_graph:
            able = ", ".join(m.name for m in by.feature.metrics if m.can_have_graph) or "none of its metrics"
            raise BadSettings(f"lake.toml: indexes.{name}: {by.metric.name} has no HNSW index; use {able}")

    def _check_mix(self, name: str, weights: Mapping[str, Any]) -> None:
        where = f"mixes.{name}"
        if not _NAME.fullmatch(name):
            raise BadSettings(f"lake.toml: invalid name {name!r} of a mix; expected lowercase letters, digits and '_'")
        for part, weight in weights.items():
            try:
                FeatureMetric.parse(part, lambda feature_name: self._find_searched(where, feature_name))
            except UnknownName as error:
                raise BadSettings(f"lake.toml: {where}: {error}") from error
            if type(weight) not in (int, float) or finite_number(weight) is None or weight < 0:
                raise BadSettings(
                    f"lake.toml: {where}: the weight of {part} is {shorten(weight)}; expected a number of 0 or more"
                )
        if not any(weights.values()):
            raise BadSettings(f"lake.toml: {where}: all weights are 0; expected at least one above 0")


def _histogram(name: str, table: Mapping[str, Any]) -> Feature:
    where = f"histograms.{name}"
    _refuse_unknown_keys(where, table, ("space", "levels", "joint", "all_pixels"))
    space = _read_value(where, table, "space", str, "rgb")
    levels = _read_value(where, table, "levels", list)
    if space not in SPACES:
        raise BadSettings(f"lake.toml: {where}: {UnknownName('colour space', space, SPACES)}")
    finest = FINEST[space]
    if len(levels) != 3 or not all(type(n) is int and 1 <= n <= finest for n in levels):
        raise BadSettings(
            f"lake.toml: {where}: levels is {levels}; expected three whole numbers for {space}, 1 to {finest}"
        )
    joint = _read_value(where, table, "joint", bool, True)
    if joint and math.prod(levels) > colour.MAX_BINS:
        raise BadSettings(
            f"lake.toml: {where}: levels give {math.prod(levels)} bins; expected at most {colour.MAX_BINS}, "
            "or joint = false"
        )
    return colour.histogram(
        name, space, levels, joint=joint, all_pixels=_read_value(where, table, "all_pixels", bool, False)
    )


_MISSING: Any = object()


def _read_value(
    where: str, table: Mapping[str, Any], key: str, kind: Callable[..., Any], default: Any = _MISSING
) -> Any:
    """Read a value of a table of `lake.toml` and check its type.

    Raises:
        BadSettings: The value is missing, or has another type.
    """
    value = table.get(key, default)
    if value is _MISSING:
        raise BadSettings(f"lake.toml: {where} has no {key!r}")
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise BadSettings(f"lake.toml: {where}: {key} is {value!r}; expected {getattr(kind, '__name__', kind)}")
    return value


def _refuse_unknown_keys(where: str, table: Mapping[str, Any], known: Sequence[str]) -> None:
    for key in table:
        if key not in known:
            raise BadSettings(f"lake.toml: {where}: {UnknownName('setting', key, known)}")
