"""What an export did."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass, field
from typing import Any

_OPENED_BY = {
    "projector": "open it by: tensorboard --logdir {out}",
    "atlas": "open it by: embedding-atlas {out}/atlas.parquet --x x --y y --neighbors neighbors --image image",
    "graphml": "the graph is {out}/graph.graphml, see docs/export.md",
}


@dataclass(frozen=True)
class ExportReport:
    """What is there now.

    Attributes:
        out: The folder or URL.
        rows: Images.
        features: Those whose vectors are there, with the distance of the target by which to compare them, if any.
        parts: In which it is written: files of rows, indexes, commits; for Qdrant points.
        kept: Of these were there from a run before.
        replaced: An export of something else was there and is gone.
        left_out: Images that were not taken into the sample; 0 where it is of all.
        byte_size: Of all files; 0 on a server.
        seconds: That this run took.
    """

    out: str
    to: str
    generation: str
    rows: int
    features: dict[str, str] = field(default_factory=dict)
    parts: int = 0
    kept: int = 0
    replaced: bool = False
    left_out: int = 0
    byte_size: int = 0
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    def in_words(self) -> str:
        """As a person reads it."""
        rows = (
            f"{self.rows} of {self.rows + self.left_out} images, a random sample," if self.left_out else str(self.rows)
        )
        images = rows if self.left_out else f"{rows} images"
        lines = [f"{images} of generation {self.generation} are in {self.out}, for {self.to}"]
        if self.replaced:
            lines.append("in place of another export that was there")
        if self.kept:
            unit = "points" if self.to == "qdrant" else "parts"
            lines.append(f"{self.kept} of {self.parts} {unit} were there from before")
        lines += [f"  {name}{f', by {distance}' if distance else ''}" for name, distance in self.features.items()]
        size = f"{self.byte_size / 1e6:.3g} MB, " if self.byte_size else ""
        what = _OPENED_BY.get(self.to, "to search there see docs/export.md").format(out=shlex.quote(self.out))
        return "\n".join([*lines, f"{size}{self.seconds:.1f} s; {what}"])
