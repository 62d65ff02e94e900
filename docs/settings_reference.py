"""Sections of `docs/reference/settings.md`: a heading for each setting of `lake.toml`.

Types, defaults and meanings come from `Settings` and `DagsterSettings`. What is recomputed after a change is here, with
the examples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from textwrap import wrap

from docs.markdown import cell, table
from imrec_core.lake.settings import Settings
from imrec_core.lake.settings_template import attribute_docs
from imrec_dagster.settings import DagsterSettings

_WIDTH = 124

_WHOLE = "the next generation is built whole"
_SCANNED = "nothing for images that stay; the next scan adds and removes the others"
_NOTHING = "nothing"

RECOMPUTED: Mapping[str, str] = {
    "sources": "the images of a new folder are read. To rename, move or drop a folder, use `imrec sources`, which "
    "keeps what is computed",
    "features": f"images are decoded again for added features alone, and {_WHOLE}. `imrec gc` removes the tables of "
    "features that are no longer listed",
    "quality": f"the vectors of all networks, from decoded images; {_WHOLE}",
    "shard_size": "nothing; existing shards keep their images, and new images fill shards of the new size",
    "max_pixels": "images that were too large, if the number is larger. Images that are extracted stay",
    "allow_truncated": "damaged images, if `true`. Images that are extracted stay",
    "calibration_copies": "the next generation, which is built whole with so many edited copies",
    "inference_precision": "vectors of networks that another precision has computed: for `bf16` and `fp32` at once, "
    "for `auto` in shards whose images change",
    "extensions": _SCANNED,
    "scan_hidden": _SCANNED,
    "exclude": _SCANNED,
    "limit": _SCANNED,
    "thumbnail_mb": _NOTHING,
    "keep_lost_days": "nothing; the next build removes vectors that are older",
    "search_log": "nothing; recommenders and servers that are opened later have the new share",
    "columns": "the rows of the next generation; no image is decoded",
    "model_options": "nothing for `batch`; the vectors of `NAME_neighbours` from stored ones for `neighbourhood`",
    "models": "the vectors of a network whose declaration has changed, from decoded images",
    "histograms": f"the vectors of a new or changed histogram, from decoded images; {_WHOLE}",
    "projections": f"the fit of a new or changed projection, and its vectors from stored ones; {_WHOLE}",
    "combined": f"the vectors of a new or changed combination, from stored ones; {_WHOLE}",
    "mixes": "nothing; the next search uses the weights",
    "indexes": "the next generation, which is built whole with these graphs",
    "renamed_sources": "nothing; do not edit it",
    "dagster": "nothing; restart `imrec ui`",
}
"""Setting → what is computed again after a change."""

EXAMPLES: Mapping[str, str] = {
    "sources": '[sources]\nphotos = "/srv/photos"\nbucket = "s3://bucket/photos"',
    "features": 'features = ["efficientnet_lite0", "hsv_histogram", "phash", "pdq"]',
    "quality": 'quality = "fast"',
    "shard_size": "shard_size = 1000",
    "max_pixels": "max_pixels = 500_000_000",
    "allow_truncated": "allow_truncated = true",
    "calibration_copies": "calibration_copies = 200",
    "inference_precision": 'inference_precision = "fp32"',
    "extensions": 'extensions = ["jpg", "jpeg", "png"]',
    "scan_hidden": "scan_hidden = true",
    "exclude": 'exclude = ["drafts/", "*.thumb.jpg", "!keep.thumb.jpg"]',
    "limit": "limit = 500",
    "thumbnail_mb": "thumbnail_mb = 500",
    "keep_lost_days": "keep_lost_days = 7",
    "search_log": "search_log = 0.1",
    "columns": 'columns = ["captions.parquet", "/srv/ratings.csv"]',
    "model_options": "[model_options.efficientnet_lite0]\nbatch = 4\nneighbourhood = 5",
    "models": '[models.shoes]\nfile = "shoes.onnx"\ndims = 512\ncrop = 224',
    "histograms": '[histograms.rgb16]\nspace = "rgb"\nlevels = [16, 16, 16]',
    "projections": '[projections.content64]\nbase = "efficientnet_lite0"\ndims = 64',
    "combined": "[combined]\nlook = {hsv_histogram = 0.4, efficientnet_lite0 = 0.6}",
    "mixes": "[mixes]\nlook = {efficientnet_lite0 = 0.7, hsv_histogram = 0.3}",
    "indexes": '[indexes."hsv_histogram:chi_square"]\nm = 24\nef_construction = 200',
    "renamed_sources": '[renamed_sources]\nholiday = {name = "trips", version = "0.1.0"}',
    "dagster": '[dagster]\nscan_schedule = "0 1 * * *"\ntimezone = "Europe/Berlin"',
}
"""Setting → lines of `lake.toml`."""

_MORE: Mapping[str, str] = {
    "sources": "[The image folders](../guides/your-photos.md#the-image-folders) has the commands.",
    "features": "[Features](features.md) lists all, and [recipes](../guides/recipes.md#which-features-a-lake-has) say "
    "how to add one.",
    "exclude": "[Files that a scan reads](scan.md) has the patterns.",
    "columns": "[Columns of your own](../guides/your-photos.md#columns-of-your-own) has an example.",
    "model_options": "[Networks: licences and sources](models.md) has the batch of each network.",
    "models": "[Networks](../guides/models.md#weights-of-your-own) lists the keys.",
    "combined": "A combined feature is searched like any other; [`mixes`](#mixes) need no new vectors.",
    "mixes": "`imrec search a.jpg --by mix:look` uses it; `imrec tune` finds weights.",
    "indexes": "`imrec tune --recall 0.98` writes `ef`. [Recipes](../guides/recipes.md#comparing) say what the "
    "others do.",
    "keep_lost_days": "[Images that are gone at once](../guides/your-photos.md#the-image-folders) says which.",
    "dagster": "[The lake in Dagster](../guides/dagster.md) uses them.",
}

_KINDS = {
    bool: "`true` or `false`",
    int: "integer",
    float: "number",
    str: "string",
    tuple: "list of strings",
    dict: "table",
}


def values() -> str:
    """Generate a section for each setting that is one value or a list."""
    return _sections(is_table=False)


def tables() -> str:
    """Generate a section for each setting that is a table of TOML."""
    return _sections(is_table=True)


TABLES: Mapping[str, Callable[[], str]] = {"settings": values, "settings_tables": tables}


def _sections(is_table: bool) -> str:
    default = Settings()
    names = (f.name for f in fields(Settings) if isinstance(getattr(default, f.name), dict) == is_table)
    return "\n\n".join(_section(name, getattr(default, name)) for name in names)


def _section(name: str, default: object) -> str:
    meaning = attribute_docs(Settings.__doc__ or "")[name]
    shown = "" if isinstance(default, dict) else f" Default: `{toml(default)}`."
    parts = [
        f"### `{name}`",
        _paragraph(f"{meaning} {_MORE.get(name, '')}"),
        _paragraph(f"Type: {_KINDS[type(default)]}.{shown}"),
        _paragraph(f"Recomputed after a change: {RECOMPUTED[name]}."),
        f"```toml\n{EXAMPLES[name]}\n```",
    ]
    if name == "dagster":
        parts.append(_dagster_table())
    return "\n\n".join(parts)


def _paragraph(text: str) -> str:
    return "\n".join(wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False))


def _dagster_table() -> str:
    meanings = attribute_docs(DagsterSettings.__doc__ or "")
    rows = ((f"`{f.name}`", cell(meanings[f.name]), f"`{toml(f.default)}`") for f in fields(DagsterSettings))
    return table(("under `[dagster]`", "meaning", "default"), rows)


def toml(value: object) -> str:
    """Format a default as in `lake.toml`."""
    if isinstance(value, tuple):
        return "[" + ", ".join(f'"{v}"' for v in value) + "]"
    return str(value).lower() if isinstance(value, bool) else repr(value).replace("'", '"')
