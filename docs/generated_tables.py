"""Tables of the docs, generated from the declarations and from the measurements of `make bench`.

`python -m docs.generated_tables README.md docs/*.md docs/*/*.md` writes them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from docs import (
    cli_reference,
    figures_table,
    python_tables,
    route_table,
    scale_table,
    schema_tables,
    settings_reference,
    sizes_tables,
)
from docs.markdown import table
from imrec_core.features import FEATURES, Feature
from imrec_core.features.feature_metric import split_name
from imrec_core.features.metrics import METRICS, Metric
from imrec_core.features.reduction import METHODS
from imrec_core.features.searched import searched
from imrec_core.models.registry import MODELS
from imrec_core.search.candidates import NEAR_HELLINGER

MEASURED = Path("docs/measured.json")

_QUALITY = {
    "images/s": "images/s",
    "P@5": "P@5",
    "mAP": "mAP",
    "R@1": "copies",
    "R@1 crop": "cropped",
    "R@1 turned90": "turned",
    "R@1 mirrored": "mirrored",
}


def quality_table() -> str:
    """Generate a row per feature with its measurements, then per other metric and combination that was measured.

    Networks are measured by the content vectors that searches use.
    """
    groups = list(dict.fromkeys(feature.group for feature in FEATURES.values()))
    features = sorted(_named_features(), key=lambda feature: groups.index(feature.group))
    rows = [_quality_row(f.name, f.name, f.metric.name, f.summary) for f in features]
    for by in (name for name, found in _measured().items() if "R@1" in found):
        name, metric = split_name(by)
        if name not in FEATURES:
            rows.append(_quality_row(name.replace("_full", ":full"), name, metric, _notes()[name]))
        elif metric != FEATURES[name].metric.name:
            rows.append(_quality_row(by, name, metric, f"The same by `{metric}`."))
    return table(("feature", "summary", "dims", "bytes", *_QUALITY.values()), rows)


def _quality_row(by: str, name: str, metric: str, summary: str) -> tuple[str, ...]:
    found = _measured().get(name, {}) | _measured().get(f"{name}:{metric}", {})
    if name in FEATURES:
        feature = searched(FEATURES[name])
        found |= {"dims": feature.dims, "bytes": feature.width * _ITEM_BYTES[feature.dtype]}
    digits = {"images/s": 0}
    quality = [f"{found[unit]:.{digits.get(unit, 2)}f}" if unit in found else "–" for unit in _QUALITY]
    return (f"`{by}`", summary, f"{found['dims']:.0f}", f"{found['bytes']:.0f}", *quality)


def _named_features() -> list[Feature]:
    """Return the features that users name: not the tables of content vectors."""
    tables = {feature.content for feature in FEATURES.values()}
    return [feature for name, feature in FEATURES.items() if name not in tables]


_ITEM_BYTES = {"float16": 2, "float32": 4, "uint64": 8}


@cache
def _rows() -> list[dict[str, Any]]:
    """Read the measurements as a list; empty without their file."""
    if not MEASURED.exists():
        return []
    return [row for subject in json.loads(MEASURED.read_text())["subjects"].values() for row in subject]


@cache
def _measured() -> dict[str, dict[str, float]]:
    """Return the measurements as name → unit → value."""
    found: dict[str, dict[str, float]] = {}
    for row in _rows():
        found.setdefault(row["name"], {})[row["unit"]] = row["value"]
    return found


def _notes() -> dict[str, str]:
    """Return the note beside the dims of each measured feature."""
    return {row["name"]: row["note"] for row in _rows() if row["unit"] == "dims"}


def copies_table() -> str:
    """Generate recall@1 of edited copies: a row per edit, a column per feature or mix, the best ones first."""
    found = {name: values for name, values in _measured().items() if "copies all" in values}
    names = sorted(found, key=lambda name: -found[name]["copies all"])
    edits = [unit for unit in next(iter(found.values()), {}) if unit.startswith("copies ")]
    rows = (
        (edit.removeprefix("copies "), *(f"{found[name][edit]:.3f}" for name in names))
        for edit in sorted(edits, key=lambda edit: edit != "copies all")
    )
    return table(("edit", *(name if "`" in name else f"`{name}`" for name in names)), rows)


_CHOSEN, _COMPARED, _BEYOND = "as imrec has it", ("250 images", "1066 images"), " beyond the full"


def content_table() -> str:
    """Generate what content vectors gain over full embeddings: a row per number of images and choice of constants.

    Means over several parts have intervals of 95 %.
    """
    gains: dict[str, dict[str, str]] = {}
    for row in _rows():
        if row["unit"].endswith(_BEYOND):
            _, spread, interval = row["note"].partition("± ")
            gains.setdefault(row["name"], {})[row["unit"]] = f"{row['value']:+.3f}" + (spread and f" ± {interval}")
    rows = []
    for name, found in gains.items():
        choice, _, images = name.rpartition(", ")
        if choice == _CHOSEN or images in _COMPARED:
            units = (f"{unit}{_BEYOND}" for unit in ("P@5", "mAP", "copies recall@1"))
            rows.append((images.removesuffix(" images"), choice, *(found[unit] for unit in units)))
    return table(("images", "content vectors", "P@5", "mAP", "copies"), rows)


def features_table() -> str:
    """Generate a row per feature, from its declaration."""
    rows = (
        (f"`{f.name}`", f.group, str(f.dims), f.dtype, ", ".join(m.name for m in f.metrics), f.source)
        for f in _named_features()
    )
    return table(("feature", "group", "dims", "stored as", "metrics (default first)", "source"), rows)


def metrics_table() -> str:
    """Generate a row per metric."""
    rows = ((f"`{m.name}`", m.summary, _found_by(m)) for m in METRICS.values())
    return table(("metric", "distance", "found by"), rows)


def _found_by(metric: Metric) -> str:
    if metric.has_graph:
        return "HNSW graph"
    if metric.scan:
        return "scan"
    if metric.name not in NEAR_HELLINGER:
        return "scan"
    near, own = (_measured().get(f"{kind}:{metric.name}", {}).get("recall@10") for kind in ("candidates", "map"))
    recall = f" (recall@10 {near:.3f})" if near else ""
    on_request = f"; by a map of its own, on request{f' ({own:.3f})' if own else ''}" if metric.can_have_graph else ""
    elsewhere = "" if metric.can_have_graph else "; scan over others"
    return f"candidates by Hellinger over histograms, ranked exactly{recall}{on_request}{elsewhere}"


def models_table() -> str:
    """Generate a row per pretrained network."""
    rows = (
        (
            f"`{m.name}`",
            str(m.dims),
            f"{m.preprocess.crop} px",
            str(m.batch),
            m.extra or "–",
            "yes" if m.text else "–",
            m.licence,
            "yes" if m.verified else "never",
            m.source,
        )
        for m in MODELS.values()
    )
    heading = ("model", "dims", "input", "batch", "extra", "text", "licence", "run on its weights", "source")
    return table(heading, rows)


def methods_table() -> str:
    """Generate a row per projection method."""
    rows = (
        (f"`{m.name}`", m.summary, ", ".join(f"`{k} = {v}`" for k, v in m.params.items()) or "–", m.source)
        for m in METHODS.values()
    )
    return table(("method", "summary", "settings", "source"), rows)


TABLES: dict[str, Callable[[], str]] = {
    "quality": quality_table,
    "copies": copies_table,
    "content": content_table,
    "features": features_table,
    "metrics": metrics_table,
    "models": models_table,
    "methods": methods_table,
    "size_targets": sizes_tables.targets_table,
    "sizes": sizes_tables.sizes_table,
    "size_machines": sizes_tables.machines_table,
    "growth": sizes_tables.growth_table,
    "unit_costs": scale_table.unit_costs_table,
    "scale": scale_table.scale_table,
    "cli": cli_reference.cli_reference,
    "routes": route_table.route_table,
    **figures_table.TABLES,
    **schema_tables.TABLES,
    **settings_reference.TABLES,
    **python_tables.TABLES,
}


def updated(text: str) -> str:
    """Return `text` with every table between its markers generated again.

    Raises:
        ValueError: A marker lacks its counterpart.
    """
    for name, generate in TABLES.items():
        begin, end = f"<!-- {name}: made by `make docs` -->", f"<!-- /{name} -->"
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if (begin in text) != (end in text) or (found and not closed):
            raise ValueError(f"table {name!r}: a marker lacks its counterpart")
        if found:
            text = f"{before}{begin}\n\n{generate()}\n\n{end}{after}"
    return text


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        path.write_text(updated(path.read_text("utf-8")), "utf-8")
