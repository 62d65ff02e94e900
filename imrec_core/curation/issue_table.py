"""The issues of a generation as a table on this machine, so that they are found once per generation."""

from __future__ import annotations

import json
import logging

import pyarrow as pa

from imrec_core.errors import LakeError
from imrec_core.index.generation import Generation
from imrec_core.lake import parquet
from imrec_core.lake.lake import Lake

VERSION = "1"
"""Version of the rules. Increment it when an image may have other issues."""

SCHEMA = pa.schema([("row", pa.int64()), ("issue", pa.string()), ("severity", pa.float64()), ("value", pa.float64())])

_LIMITS = "limits"

log = logging.getLogger(__name__)


def load(lake: Lake, generation: Generation) -> tuple[pa.Table, dict[str, float]] | None:
    """Read the stored issues and limits of a generation; None if there are none."""
    path = lake.layout.issues_path
    made_from = parquet.made_from(path)
    if made_from is None or not _made_from(generation).items() <= made_from.items():
        return None
    try:
        return parquet.read_table(path).select(SCHEMA.names), json.loads(made_from[_LIMITS])
    except (LakeError, KeyError, ValueError) as error:
        log.warning("stored issues are ignored and found again: %s", error)
        return None


def store(lake: Lake, generation: Generation, issues: pa.Table, limits: dict[str, float]) -> None:
    """Store issues with the ids of their images; log a warning if that fails, as in a lake that is read-only."""
    ids = generation.columns("image_id")["image_id"].take(issues["row"])
    made_from = {**_made_from(generation), _LIMITS: json.dumps(limits)}
    try:
        parquet.write_table(lake.layout.issues_path, issues.append_column("image_id", ids), made_from)
    except (LakeError, OSError) as error:
        log.warning("the issues cannot be stored, so the next command finds them again: %s", error)


def _made_from(generation: Generation) -> dict[str, str]:
    return {"generation": generation.id, "feature": generation.default_feature, "rules": VERSION}
