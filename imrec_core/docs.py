"""The parts of README.md that follow from the declarations. `python -m imrec_core.docs README.md` writes them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import fields
from pathlib import Path

from imrec_core.features import FEATURES
from imrec_core.metrics import METRICS
from imrec_core.models import MODELS
from imrec_core.settings import Settings


def features_table() -> str:
    """Every feature, one row each."""
    rows = (
        (f"`{f.name}`", f.summary, str(f.dims), f.dtype, ", ".join(m.name for m in f.metrics), f.source)
        for f in FEATURES.values()
    )
    return _table(("feature", "what it describes", "dims", "stored as", "metrics (default first)", "source"), rows)


def metrics_table() -> str:
    """Every metric, one row each."""
    rows = (
        (f"`{m.name}`", m.summary, "HNSW graph" if m.has_graph else "scan, or re-ranking of candidates")
        for m in METRICS.values()
    )
    return _table(("metric", "distance", "found by"), rows)


def models_table() -> str:
    """Every pretrained network, one row each."""
    rows = ((f"`{m.name}`", str(m.dims), f"{m.preprocess.crop} px", m.licence, m.source) for m in MODELS.values())
    return _table(("model", "dims", "input", "licence", "source"), rows)


def settings_table() -> str:
    """Every setting of `lake.toml`, one row each."""
    default = Settings()
    described = _attributes(Settings.__doc__ or "")
    rows = (
        (f"`{f.name}`", described[f.name], f"`{_toml(getattr(default, f.name))}`")
        for f in fields(Settings)
        if f.name != "sources"
    )
    return _table(("setting", "what it says", "default"), rows)


TABLES: dict[str, Callable[[], str]] = {
    "features": features_table,
    "metrics": metrics_table,
    "models": models_table,
    "settings": settings_table,
}


def updated(text: str) -> str:
    """`text` with every generated table between its marks made anew.

    Raises:
        ValueError: A mark is missing.
    """
    for name, table in TABLES.items():
        begin, end = f"<!-- {name}: made by `make docs` -->", f"<!-- /{name} -->"
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not (found and closed):
            raise ValueError(f"the marks of the table {name!r} are missing")
        text = f"{before}{begin}\n\n{table()}\n\n{end}{after}"
    return text


def _table(heading: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [heading, tuple("---" for _ in heading), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _attributes(docstring: str) -> dict[str, str]:
    """Name to description, from the `Attributes:` section of a docstring."""
    described: dict[str, str] = {}
    names: list[str] = []
    for line in docstring.partition("Attributes:")[2].splitlines():
        indent = len(line) - len(line.lstrip())
        if indent == 8:
            head, _, text = line.strip().partition(": ")
            names = [name.strip() for name in head.split(",")]
            described |= dict.fromkeys(names, text)
        elif indent > 8:
            described |= {name: f"{described[name]} {line.strip()}" for name in names}
    return described


def _toml(value: object) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(f'"{v}"' for v in value) + "]"
    return str(value).lower() if isinstance(value, bool) else repr(value).replace("'", '"')


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        path.write_text(updated(path.read_text("utf-8")), "utf-8")
