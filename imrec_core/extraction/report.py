"""What extraction tells its caller: images done while a shard is under way, and a report when it is finished."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

STAGES = ("read", "decode", "describe", "encode", "write")

OnImages = Callable[[int, int], None]
"""Told after each batch: how many images were read well, and how many failed; those that are kept are not told."""


@dataclass(frozen=True)
class ShardReport:
    """What extraction did for one shard.

    Attributes:
        rows, failed: Images that have vectors, and those that could not be read or decoded.
        decoded: Images that were decoded now, or tried to be; of the others what was known was kept.
        features: Names of the features computed now; the others were up to date.
        seconds: Of the whole shard, by the clock.
        stage_seconds: Of each of `STAGES`, summed over threads.
        table_bytes: Size of each written table.
        reasons: Kinds of failure, with counts.
        thumbnails: A few JPEG files, for showing.
    """

    shard: str
    rows: int
    failed: int
    decoded: int = 0
    features: tuple[str, ...] = ()
    seconds: float = 0.0
    stage_seconds: dict[str, float] = field(default_factory=dict)
    table_bytes: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    thumbnails: tuple[bytes, ...] = ()

    def followed_by(self, later: ShardReport) -> ShardReport:
        """The report of two runs over the shard."""
        return replace(
            later,
            decoded=self.decoded + later.decoded,
            features=(*self.features, *later.features),
            seconds=self.seconds + later.seconds,
            stage_seconds={name: later.stage_seconds[name] + spent for name, spent in self.stage_seconds.items()},
            table_bytes=self.table_bytes | later.table_bytes,
            thumbnails=later.thumbnails or self.thumbnails,
        )

    @property
    def images_per_second(self) -> float:
        return self.decoded / self.seconds if self.seconds else 0.0
