"""Quality issues of the images of a lake, from the columns and vectors of its generation; nothing is decoded."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from imrec_core.curation import issue_table
from imrec_core.curation.listed_images import save_gallery, source_roots
from imrec_core.curation.neighbours import open_embedding
from imrec_core.curation.outliers import neighbour_distances, ratios_to_median
from imrec_core.curation.rules import COLUMNS, MEASURED, RULES, check_limits, describe, measure
from imrec_core.errors import UnknownName
from imrec_core.extraction.failures import list_failures
from imrec_core.index.generation import Generation
from imrec_core.index.opening import open_generation
from imrec_core.lake.lake import Lake
from imrec_core.lake.storage.os_errors import translate_os_errors
from imrec_core.sql.policy import SqlPolicy

FAILED = "failed"
ISSUES = (*RULES, FAILED)
"""Names of all issues."""

_SHOWN = 12  # images of an issue on a contact sheet
_FAILED_ABOUT = {
    "issue": FAILED,
    "summary": "cannot be read or decoded",
    "measure": "see: imrec failures",
    "bad": "true",
    "limit": None,
}


@dataclass(frozen=True)
class Finding:
    """An image with an issue.

    Attributes:
        issue: Name of the issue.
        image_id: Id of the image; None for a folder that cannot be read.
        source: Name of its source in `lake.toml`.
        path: Full path or URL of the file.
        severity: Above 0 just beyond the limit, 1 for the worst possible value.
        value: What was measured; None for a file that failed.
    """

    issue: str
    image_id: str | None
    source: str
    path: str
    severity: float
    value: float | None


@dataclass(frozen=True, eq=False)
class IssueReport:
    """The issues of a lake.

    Attributes:
        generation: Id of the generation whose images were examined.
        images: Number of its images.
        limits: Limit of each issue in this lake, by name; see `rules.RULES`.
        table: A row per issue of an image, with the fields of `Finding`, by issue and worst first.
    """

    generation: str
    images: int
    limits: Mapping[str, float]
    table: pa.Table

    @property
    def counts(self) -> dict[str, int]:
        """Number of images with each issue, by name; 0 for issues that no image has."""
        found = {str(one["values"]): int(one["counts"]) for one in pc.value_counts(self.table["issue"]).to_pylist()}
        examined = (*(name for name in RULES if name in self.limits), FAILED)
        return {name: found.get(name, 0) for name in examined}

    def findings(self, issue: str | None = None, *, first: int = 0, most: int | None = None) -> list[Finding]:
        """Return the images with an issue, worst first, or those of all issues.

        Args:
            first: Number of images to skip.
            most: Maximum number; None for all.

        Raises:
            UnknownName: There is no such issue.
        """
        table = self.table
        if issue is not None:
            if issue not in ISSUES:
                raise UnknownName("issue", issue, ISSUES)
            table = table.filter(pc.equal(table["issue"], issue))
        return [Finding(**row) for row in table.slice(first, most).to_pylist()]

    def about(self) -> list[dict[str, Any]]:
        """Describe the issues: name, summary, what is measured, limit, and number of images."""
        return [
            {**(_FAILED_ABOUT if name == FAILED else describe(name, self.limits)), "images": count}
            for name, count in self.counts.items()
        ]

    def to_polars(self) -> pl.DataFrame:
        """Return the table as a Polars data frame."""
        return pl.DataFrame(self.table)

    def to_json(self, issue: str | None = None) -> str:
        """Return a JSON document: generation, number of images, issues, and the images with each of them."""
        about = {"generation": self.generation, "images": self.images, "issues": self.about()}
        return json.dumps({**about, "findings": [asdict(f) for f in self.findings(issue)]}, ensure_ascii=False)

    def gallery(self, file: str | os.PathLike[str], issue: str | None = None, *, most: int = _SHOWN) -> None:
        """Write a contact sheet of the worst images of each issue, or of one.

        Args:
            file: File to write; its suffix is `.svg`, or that of a format of Pillow such as `.png`.
            most: Maximum number of images per issue.

        Raises:
            OSError: The file cannot be written.
            ValueError: No format has that suffix.
        """
        groups = []
        for name, count in self.counts.items():
            if count and (issue is None or name == issue) and name != FAILED:
                rule = RULES[name]
                images = [
                    (found.path, "" if rule.bad == "true" else f"{found.value:.3g}") for found in self.findings(name)
                ]
                about = f"{rule.measure}, {rule.bad}est first; the limit is {self.limits[name]:.3g}"
                if rule.bad == "true":
                    about = rule.summary
                groups.append((f"{name}: {count:,} of {self.images:,} images\n{about}", images))
        save_gallery(groups or [("no issues", [])], file, most=most)


@translate_os_errors()
def find_issues(
    lake: str | os.PathLike[str] | Lake = "data_lake",
    *,
    where: str | None = None,
    by: str | None = None,
    limits: Mapping[str, float] | None = None,
    outliers: bool = True,
) -> IssueReport:
    """Find images of poor quality or unlike the others.

    The limits follow from all images of the lake. With outliers by the first feature, the result is stored until the
    next generation, for the view `issues` of `imrec sql` and for the page.

    Args:
        lake: The folder or URL of a lake, or the lake itself.
        where: SQL condition over the rows, for the images to report. Failed files have no row and are then left out.
        by: Feature of the embedding that tells outliers. Default: the first feature of the lake.
        limits: Limits by issue, instead of those that follow from the lake.
        outliers: Whether to find outliers, which takes most of the time.

    Raises:
        MissingTable: The lake was never built.
        QueryError: `where` is not a valid condition, or a limit is not a number above 0 for an issue that has one.
        UnknownName: There is no such feature or issue.
    """
    lake = lake if isinstance(lake, Lake) else Lake(lake)
    generation = open_generation(lake)
    given = check_limits(limits or {})
    is_default = outliers and not given and by in (None, generation.default_feature)
    stored = issue_table.load(lake, generation) if is_default else None
    if stored is None:
        stored = _examine(generation, by, given, outliers=outliers)
        if is_default:
            issue_table.store(lake, generation, *stored)
    rows, limits = stored
    if where is not None:
        kept = generation.filter.rows(where, SqlPolicy.TRUSTED)
        rows = rows.filter(pc.is_in(rows["row"], pa.array(kept)))
    table = _with_places(lake, generation, rows)
    if where is None:
        table = pa.concat_tables([table, _failed(lake)])
    return IssueReport(generation.id, len(generation.live), limits, table)


def stored_issues(lake: Lake, generation: Generation) -> IssueReport:
    """Return the stored issues, or without them those that need no vectors, in a fraction of a second.

    Outliers are not in `limits` of the latter.
    """
    rows, limits = issue_table.load(lake, generation) or _examine(generation, None, {}, outliers=False)
    table = pa.concat_tables([_with_places(lake, generation, rows), _failed(lake)])
    return IssueReport(generation.id, len(generation.live), limits, table)


def _examine(
    generation: Generation, by: str | None, given: Mapping[str, float], *, outliers: bool
) -> tuple[pa.Table, dict[str, float]]:
    """Apply all rules; return the table of issues with rows instead of places, and the limits."""
    columns = [name for name in COLUMNS if name in generation.column_names]
    values = {name: (generation.live, found) for name, found in measure(generation.live_table(columns)).items()}
    if outliers:
        embedding = open_embedding(generation, by)
        values["outlier"] = embedding.rows, ratios_to_median(neighbour_distances(embedding))
    limits, parts = {}, []
    for name in (*MEASURED, "outlier") if outliers else MEASURED:
        rows, measured = values[name]
        limits[name] = given.get(name, RULES[name].limit(measured))
        severities = RULES[name].severities(measured, limits[name])
        worst = np.flatnonzero(severities)
        worst = worst[np.lexsort([worst, -severities[worst]])]
        parts.append(_issue_rows(name, rows[worst], severities[worst], measured[worst]))
    return pa.concat_tables(parts), limits


def _issue_rows(
    name: str, rows: NDArray[np.int64], severities: NDArray[np.float64], values: NDArray[np.float64]
) -> pa.Table:
    columns = [pa.array(rows), pa.array([name] * len(rows), pa.string()), pa.array(severities), pa.array(values)]
    return pa.table(columns, schema=issue_table.SCHEMA)


def _with_places(lake: Lake, generation: Generation, rows: pa.Table) -> pa.Table:
    """Replace row numbers by id, source and full path."""
    roots = source_roots(lake.settings())
    files = generation.columns("image_id", "source", "path").take(rows["row"]).to_pydict()
    paths = [roots.get(source, "") + path for source, path in zip(files["source"], files["path"], strict=True)]
    return pa.table(
        {
            "issue": rows["issue"],
            "image_id": pa.array(files["image_id"], pa.string()),
            "source": pa.array(files["source"], pa.string()),
            "path": pa.array(paths, pa.string()),
            "severity": rows["severity"],
            "value": rows["value"],
        }
    )


def _failed(lake: Lake) -> pa.Table:
    failures, roots = list_failures(lake), source_roots(lake.settings())
    return pa.table(
        {
            "issue": pa.array([FAILED] * len(failures), pa.string()),
            "image_id": pa.nulls(len(failures), pa.string()),
            "source": pa.array([f["source"] for f in failures], pa.string()),
            "path": pa.array([roots.get(f["source"], "") + f["path"] for f in failures], pa.string()),
            "severity": pa.array([1.0] * len(failures), pa.float64()),
            "value": pa.nulls(len(failures), pa.float64()),
        }
    )
