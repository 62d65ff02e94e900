"""The file `generations/CURRENT`: the generation in use, and the checksums of the manifests of the complete ones.

One line per generation, that in use first: its id, a space, and the checksum of its `generation.json`. imrec 0.1 wrote
the id alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_LINE = re.compile(r"(\d{6,})(?: ([0-9a-f]{16}))?")


@dataclass(frozen=True)
class CurrentGeneration:
    """Content of the file `CURRENT`.

    Attributes:
        id: Id of the generation in use.
        checksums: Checksum of the manifest by generation.
    """

    id: str
    checksums: Mapping[str, str]

    @classmethod
    def parse(cls, data: bytes) -> CurrentGeneration | None:
        """Parse the file; None if it is damaged."""
        lines = [_LINE.fullmatch(line) for line in data.decode(errors="replace").strip().split("\n")]
        found = [line.groups() for line in lines if line]
        if len(found) != len(lines) or len({id_ for id_, _ in found}) != len(found):  # not one line per generation
            return None
        return cls(found[0][0], {id_: checksum for id_, checksum in found if checksum})

    def render(self) -> str:
        """Return the content of the file."""
        others = [id_ for id_ in sorted(self.checksums, reverse=True) if id_ != self.id]
        return "\n".join(f"{id_} {self.checksums[id_]}" for id_ in [self.id, *others])
