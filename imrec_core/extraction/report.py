"""Reports of extraction: the images done while a shard is in progress, and the result of a shard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

STAGES = ("read", "decode", "describe", "encode", "write")

OnImages = Callable[[int, int], None]
"""Called after each batch with the numbers of images that were read and that failed; reused rows do not count."""


@dataclass(frozen=True)
class ShardReport:
    """Result of the extraction of one shard.

    Attributes:
        rows: Images with vectors.
        failed: Images that could not be read or decoded.
        decoded: Images that this run decoded or tried to decode; the features of the others were reused.
        features: Names of the features that this run computed; the others were up to date.
        seconds: Wall time.
        stage_seconds: Time of each of `STAGES`, summed over threads.
        table_bytes: Size of each written table, by feature, and that of `images`.
        reasons: Number of failed images by kind of failure.
        thumbnails: Some JPEG files for display.
        feature_seconds: Time of each computed feature, summed over threads: of a network, its input and the wait for
            its vectors. Features share resized images, which count for the first that needs them.
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
    feature_seconds: dict[str, float] = field(default_factory=dict)

    def combine(self, later: ShardReport) -> ShardReport:
        """Return the combined report of this pass over the shard and a later one."""
        return replace(
            later,
            decoded=self.decoded + later.decoded,
            features=(*self.features, *later.features),
            seconds=self.seconds + later.seconds,
            stage_seconds={name: later.stage_seconds[name] + spent for name, spent in self.stage_seconds.items()},
            table_bytes=self.table_bytes | later.table_bytes,
            thumbnails=later.thumbnails or self.thumbnails,
            feature_seconds={
                name: self.feature_seconds.get(name, 0.0) + later.feature_seconds.get(name, 0.0)
                for name in {**self.feature_seconds, **later.feature_seconds}
            },
        )

    @property
    def images_per_second(self) -> float:
        """Speed of decoding; 0 if nothing was decoded."""
        return self.decoded / self.seconds if self.seconds else 0.0
