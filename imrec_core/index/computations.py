"""Digests of what the vectors of a generation were computed from: by feature, and by shard."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imrec_core.extraction.staleness import WHICH_IMAGES, digest, manifest_version
from imrec_core.features import Feature
from imrec_core.lake.lake import Lake

_NOT_COMPUTATION = (*WHICH_IMAGES, "bases")  # metadata without influence on vectors; bases have their own digest


@dataclass(frozen=True)
class Computation:
    """How the vectors of a feature were computed, independent of the images.

    Attributes:
        digest: Digest of all computations that occur.
        distinct: One digest per computation that occurs, sorted; empty in generations of earlier versions. There are
            several if shards were extracted on different devices.
    """

    digest: str
    distinct: tuple[str, ...] = ()

    @classmethod
    def of(cls, lake: Lake, feature: Feature, shards: Sequence[str]) -> Computation:
        """Read the computations of a feature from its tables."""
        of_all, of_each = _digests(lake, feature, shards)
        return cls(of_all, tuple(sorted(set(of_each))))

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Computation:
        """Read the entry of a feature in `generation.json`."""
        return cls(record.get("made", ""), tuple(record.get("computations", ())))

    def to_record(self) -> dict[str, Any]:
        """Return the keys of the entry in `generation.json`."""
        return {"made": self.digest, "computations": list(self.distinct)}

    def includes(self, other: Computation) -> bool:
        """Return whether vectors of another computation may stand beside those of this one."""
        return self.digest == other.digest or (bool(self.distinct) and set(other.distinct) <= set(self.distinct))


def _digests(lake: Lake, feature: Feature, shards: Sequence[str]) -> tuple[str, list[str]]:
    """Compute the digest of all computations in some shards together, and that of each shard."""
    own = [_own_computation(lake, feature, shard) for shard in shards]
    bases = [_digests(lake, base, shards) for base in feature.bases]
    of_all = digest([sorted(set(own)), [of_base for of_base, _ in bases]])
    of_each = [digest([one, [of_shards[i] for _, of_shards in bases]]) for i, one in enumerate(own)]
    return of_all, of_each


def _own_computation(lake: Lake, feature: Feature, shard: str) -> str:
    """Return the metadata of a table that is equal if the same image would get the same vector."""
    if feature.averaged is not None:
        return json.dumps(feature.params, sort_keys=True)
    made_from = lake.made_from(lake.feature_path(feature.stored_as, shard)) or {}
    return json.dumps({k: v for k, v in made_from.items() if k not in _NOT_COMPUTATION}, sort_keys=True)


def shard_record(lake: Lake, shard: str, features: Sequence[Feature]) -> str:
    """Compute a digest of everything from which a generation takes the rows and vectors of a shard."""
    tables = [(feature.name, lake.made_from(lake.feature_path(feature.stored_as, shard))) for feature in features]
    return digest([manifest_version(lake, shard), tables])
