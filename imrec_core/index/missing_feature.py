"""Errors for features that a generation does not have, with what to do."""

from __future__ import annotations

from collections.abc import Collection

from imrec_core.errors import ImrecError, StaleIndex, UnknownName
from imrec_core.features.feature_metric import full_name


def missing_feature(
    name: str, generation: str, *, held: Collection[str], missing: Collection[str], outdated: Collection[str]
) -> ImrecError:
    """Return the error for a feature that a generation does not have.

    Args:
        generation: Id of the generation.
        held: Features of the generation.
        missing: Features of the lake that were not in it when it was built.
        outdated: Its features whose declaration has changed since.
    """
    if name in missing:
        return StaleIndex(f"feature {name!r} is not in the generation yet; run: imrec build")
    if name in outdated:
        return StaleIndex(f"declaration of feature {name!r} changed since generation {generation}; run: imrec build")
    network = name.removesuffix(full_name(""))
    if network != name and network in held:
        return StaleIndex(
            f"the full vectors of {network} are not in generation {generation}; "
            f'add "{network}:full" to features in lake.toml and run: imrec build'
        )
    return UnknownName("feature", name, held)
