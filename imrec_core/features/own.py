"""The features of a lake: those of `FEATURES`, and those that its `lake.toml` declares.

What is declared there is wanted: it is computed without being listed in `features`, and so is all that a wanted
feature is computed from.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from imrec_core import facts
from imrec_core.errors import BadSettings, DeclarationError, UnknownName
from imrec_core.features import colour
from imrec_core.features.combined import combination
from imrec_core.features.declare import FEATURES, Feature, find_feature
from imrec_core.features.feature_metric import FeatureMetric, split_name
from imrec_core.features.neural import network
from imrec_core.features.projections import projection, stand_in
from imrec_core.lake import Lake
from imrec_core.models import Model, own_model
from imrec_core.reduction import METHODS
from imrec_core.settings import IndexParams, Settings
from imrec_core.storage import AnyPath

_NAME = re.compile(r"[a-z][a-z0-9_]*")  # safe in Dagster's keys, SQL and file names
_TAKEN = ("images", "catalog", "rows", "shard_manifest", "generation")


def known_features(lake: Lake) -> Mapping[str, Feature]:
    """All features that the lake can have, by name.

    Raises:
        BadSettings, UnknownName: `lake.toml` declares something that cannot be.
    """
    settings = lake.settings()
    return {**FEATURES, **_Declarations(settings, lake.root).features}


def check_settings(settings: Settings, base: AnyPath) -> None:
    """Refuse settings that name features, metrics or weights which cannot be; `base` is the folder of the lake.

    Raises:
        BadSettings, UnknownName: As above.
    """
    _Declarations(settings, base)


def chosen_features(lake: Lake) -> list[Feature]:
    """The features that the lake is set to have: those listed, those of its own, and what they are computed from.

    Raises:
        BadSettings, UnknownName: As above, or a listed one does not exist.
    """
    settings = lake.settings()
    own = _Declarations(settings, lake.root).features
    known = {**FEATURES, **own}
    chosen: dict[str, Feature] = {}
    for name in (*settings.features, *own):
        chosen[name] = find_feature(name, known)
    for feature in list(chosen.values()):
        chosen |= {base.name: base for base in _all_bases(feature) if base.name not in chosen}
    return list(chosen.values())


def decoded_side(lake: Lake, *others: Feature) -> int:
    """Pixels that the shorter side of a decoded picture must have for all that the lake notes of it.

    What it is set to have decides, not what is computed now: a run gives the same either way, and so does a query.
    """
    return max([facts.MIN_SIDE, *(feature.min_side for feature in (*chosen_features(lake), *others))])


def own_models(lake: Lake) -> list[Model]:
    """The networks that `lake.toml` declares."""
    return [own_model(name, table, lake.root) for name, table in lake.settings().models.items()]


def _all_bases(feature: Feature) -> Iterator[Feature]:
    for base in feature.bases:
        yield base
        yield from _all_bases(base)


class _Declarations:
    """The features that a `lake.toml` declares; those of others are made when they are first asked for."""

    def __init__(self, settings: Settings, base: AnyPath) -> None:
        self._settings = settings
        self.features: dict[str, Feature] = {}
        self._making: list[str] = []
        self._refuse_bad_names()
        for name, table in settings.models.items():
            self.features[name] = network(own_model(name, table, base))
            if self.features[name].candidates:
                self.features[f"{name}_pca"] = stand_in(self.features[name])
        for name, table in settings.histograms.items():
            self.features[name] = _histogram(name, table)
        for name in (*settings.projections, *settings.combined):
            self._made(name)
        for name in settings.networks:
            if self._find(f"networks.{name}", name).model is None:
                raise BadSettings(f"lake.toml: networks.{name}: {name} is a feature without a network")
        for name, table in settings.indexes.items():
            IndexParams.of(name, table)
            self._check_index(name)
        for name, weights in settings.mixes.items():
            self._check_mix(name, weights)

    def _refuse_bad_names(self) -> None:
        kinds = ("models", "histograms", "projections", "combined")
        names = [name for kind in kinds for name in getattr(self._settings, kind)]
        made = [f"{name}_pca" for name in self._settings.models]  # the projections that networks get by themselves
        for name in names:
            if not _NAME.fullmatch(name):
                raise BadSettings(f"lake.toml: the name {name!r} will not do; use small letters, digits and '_'")
            if name in FEATURES or name in _TAKEN or [*names, *made].count(name) > 1:
                raise BadSettings(f"lake.toml: the name {name!r} is taken; choose another")

    def _find(self, where: str, name: str) -> Feature:
        """A feature by name, made first where this lake declares it."""
        if name in self._settings.projections or name in self._settings.combined:
            return self._made(name)
        try:
            return find_feature(name, {**FEATURES, **self.features})
        except UnknownName as error:
            raise BadSettings(f"lake.toml: {where}: {error}") from error

    def _made(self, name: str) -> Feature:
        if name in self._making:
            circle = " → ".join([*self._making[self._making.index(name) :], name])
            raise BadSettings(f"lake.toml: {circle}: a feature cannot be computed from itself")
        if name not in self.features:
            self._making.append(name)
            if name in self._settings.projections:
                self.features[name] = self._projection(name, self._settings.projections[name])
            else:
                weights = self._settings.combined[name]
                names = [split_name(part)[0] for part in weights]
                parts = {part: self._find(f"combined.{name}", part) for part in names}
                self.features[name] = combination(name, weights, parts)
            self._making.pop()
        return self.features[name]

    def _projection(self, name: str, table: Mapping[str, Any]) -> Feature:
        where = f"projections.{name}"
        method = _value(where, table, "method", str, "pca")
        if method not in METHODS:
            raise BadSettings(f"lake.toml: {where}: {UnknownName('method', method, METHODS)}")
        given = {key: value for key, value in table.items() if key not in ("base", "dims", "method")}
        try:
            params = METHODS[method].settings(given)
        except DeclarationError as error:
            raise BadSettings(f"lake.toml: {where}: {error}") from error
        base = self._find(where, _value(where, table, "base", str))
        dims = _value(where, table, "dims", int)
        if base.dtype == "uint64":
            raise BadSettings(f"lake.toml: {where}: {base.name} is a hash; a projection takes vectors of numbers")
        if not 1 <= dims <= base.dims:
            raise BadSettings(
                f"lake.toml: {where}: dims is {dims}; {base.name} has {base.dims}, so use 1 to {base.dims}"
            )
        return projection(name, base, dims, method=method, least_rows=dims, **params)

    def _check_index(self, name: str) -> None:
        by = FeatureMetric.parse(name, lambda feature_name: self._find(f"indexes.{name}", feature_name))
        if not by.metric.can_have_graph:
            able = ", ".join(m.name for m in by.feature.metrics if m.can_have_graph) or "none of its metrics"
            raise BadSettings(
                f"lake.toml: indexes.{name}: no index has the order of {by.metric.name}; it can of {able}"
            )

    def _check_mix(self, name: str, weights: Mapping[str, Any]) -> None:
        where = f"mixes.{name}"
        if not _NAME.fullmatch(name):
            raise BadSettings(f"lake.toml: the name {name!r} of a mix will not do; use small letters, digits and '_'")
        for part, weight in weights.items():
            try:
                FeatureMetric.parse(part, lambda feature_name: self._find(where, feature_name))
            except UnknownName as error:
                raise BadSettings(f"lake.toml: {where}: {error}") from error
            if type(weight) not in (int, float) or not math.isfinite(weight) or weight < 0:
                raise BadSettings(f"lake.toml: {where}: the weight of {part} is {weight!r}; it must be 0 or more")
        if not any(weights.values()):
            raise BadSettings(f"lake.toml: {where}: no feature has a weight above 0")


def _histogram(name: str, table: Mapping[str, Any]) -> Feature:
    where = f"histograms.{name}"
    _refuse_others(where, table, ("space", "levels", "joint", "all_pixels"))
    space = _value(where, table, "space", str, "rgb")
    levels = _value(where, table, "levels", list)
    if space not in colour.SPACES:
        raise BadSettings(f"lake.toml: {where}: {UnknownName('colour space', space, colour.SPACES)}")
    finest = colour.FINEST[space]
    if len(levels) != 3 or not all(type(n) is int and 1 <= n <= finest for n in levels):
        raise BadSettings(f"lake.toml: {where}: levels is {levels}; {space} takes three whole numbers, 1 to {finest}")
    joint = _value(where, table, "joint", bool, True)
    if joint and math.prod(levels) > colour.MAX_BINS:
        raise BadSettings(
            f"lake.toml: {where}: {math.prod(levels)} bins are too many; choose levels whose product is "
            f"{colour.MAX_BINS} at most, or joint = false"
        )
    return colour.histogram(
        name, space, levels, joint=joint, all_pixels=_value(where, table, "all_pixels", bool, False)
    )


_MISSING: Any = object()


def _value(where: str, table: Mapping[str, Any], key: str, kind: Callable[..., Any], default: Any = _MISSING) -> Any:
    """A value of a table of `lake.toml`, of the right kind.

    Raises:
        BadSettings: It is missing, or of another kind.
    """
    value = table.get(key, default)
    if value is _MISSING:
        raise BadSettings(f"lake.toml: {where} has no {key!r}")
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise BadSettings(f"lake.toml: {where}: {key} is {value!r}; expected is {getattr(kind, '__name__', kind)}")
    return value


def _refuse_others(where: str, table: Mapping[str, Any], known: Sequence[str]) -> None:
    for key in table:
        if key not in known:
            raise BadSettings(f"lake.toml: {where}: {UnknownName('setting', key, known)}")
