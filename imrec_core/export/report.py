"""Result of an export."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass, field
from typing import Any

_OPENED_BY = {
    "projector": "open it with: tensorboard --logdir {out}",
    "atlas": "open it with: embedding-atlas {out}/atlas.parquet --x x --y y --neighbors neighbors --image image",
    "graphml": "the graph is {out}/graph.graphml, see docs/guides/export.md",
}


@dataclass(frozen=True)
class ExportReport:
    """Result of an export.

    Attributes:
        out: Folder or URL.
        to: Target or viewer.
        rows: Number of images.
        features: Exported features, with the target's distance to compare them by, empty if it has none.
        parts: Number of files, indexes and commits; for Qdrant, of points.
        kept: Parts that existed from an earlier run.
        replaced: A different export was removed.
        left_out: Images that are not in the sample; 0 without sampling.
        byte_size: Size of all files; 0 on a server.
        seconds: Duration of this run.
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
        """Convert to plain values, for JSON."""
        return asdict(self)

    def summary(self) -> str:
        """Format the report as text."""
        sample = f" of {self.rows + self.left_out}" if self.left_out else ""
        lines = [f"{self.to}: {self.rows}{sample} images of generation {self.generation} in {self.out}"]
        if self.left_out:
            lines.append("a random sample of the images")
        if self.replaced:
            lines.append("replaced a different export")
        if self.kept:
            unit = "points" if self.to == "qdrant" else "parts"
            lines.append(f"{self.kept} of {self.parts} {unit} were already complete")
        lines += [f"  {name}{f', by {distance}' if distance else ''}" for name, distance in self.features.items()]
        size = f"{self.byte_size / 1e6:.3g} MB, " if self.byte_size else ""
        hint = _OPENED_BY.get(self.to, "to search it, see docs/guides/export.md").format(out=shlex.quote(self.out))
        return "\n".join([*lines, f"{size}{self.seconds:.1f} s; {hint}"])
