"""Tables of `docs/reference/python.md`, generated from the public names of `imrec_core` and their docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from typing import Any

import imrec_core
from docs.markdown import cell, table
from imrec_core import Hit, Hits, Recommender
from imrec_core.lake.settings_template import attribute_docs
from imrec_core.search.hits import FeatureScore


def names_table() -> str:
    """Generate a row per public name of `imrec_core`."""
    names = sorted(imrec_core.__all__, key=str.lower)
    found = {name: getattr(imrec_core, name) for name in names}
    return table(("name", "kind", "summary"), ((f"`{n}`", _kind(f), _summary(n, f)) for n, f in found.items()))


def arguments_table() -> str:
    """Generate a row per argument of `Recommender.search`."""
    section = (inspect.getdoc(Recommender.search) or "").partition("Args:\n")[2].partition("\n\n")[0]
    meanings = {
        name: " ".join(text.split())
        for name, text in re.findall(r"^    (\w+): (.*?)(?=^    \w|\Z)", section, re.DOTALL | re.MULTILINE)
    }
    arguments = [a for a in inspect.signature(Recommender.search).parameters.values() if a.name != "self"]
    rows = ((f"`{a.name}`", f"`{a.default!r}`".replace("'", '"'), cell(meanings[a.name])) for a in arguments)
    return table(("argument", "default", "meaning"), rows)


def recommender_table() -> str:
    """Generate a row per method and property of `Recommender`."""
    return table(("member", "what it does"), _members(Recommender))


def hits_table() -> str:
    """Generate a row per attribute and method of `Hits`, of `Hit`, and of the score by one feature."""
    rows = [*_attributes(Hits, "hits"), *_members(Hits, "hits"), *_attributes(Hit, "hit")]
    return table(("member", "what it is"), [*rows, *_attributes(FeatureScore, "hit.parts[…]")])


TABLES: Mapping[str, Callable[[], str]] = {
    "python": names_table,
    "search_arguments": arguments_table,
    "recommender": recommender_table,
    "hits": hits_table,
}


def _kind(found: object) -> str:
    if inspect.isclass(found):
        return "class"
    return "function" if inspect.isfunction(found) else "mapping"


def _summary(name: str, found: object) -> str:
    if not callable(found):
        return f"All {name.lower()} that are built in, by name."
    return _first_paragraph(found)


def _attributes(kind: type[Any], name: str) -> Iterable[tuple[str, str]]:
    """Yield the public fields of a dataclass that its docstring describes."""
    described = attribute_docs(kind.__doc__ or "")
    shown = (field.name for field in fields(kind) if not field.name.startswith("_") and field.name in described)
    return ((f"`{name}.{field}`", cell(described[field])) for field in shown)


def _members(kind: type[Any], name: str = "") -> Iterable[tuple[str, str]]:
    """Yield the public methods and properties that a class declares, with their arguments."""
    prefix = f"{name}." if name else ""
    for member, found in vars(kind).items():
        if member.startswith("_") or not (callable(found) or isinstance(found, property | classmethod)):
            continue
        arguments = "" if isinstance(found, property) else f"({_arguments(getattr(kind, member))})"
        yield f"`{prefix}{member}{arguments}`", _first_paragraph(found)


def _arguments(function: Callable[..., Any]) -> str:
    names = [name for name in inspect.signature(function).parameters if name != "self"]
    return ", ".join(names if len(names) < 5 else [names[0], "…"])


def _first_paragraph(found: object) -> str:
    return cell((inspect.getdoc(found) or "").partition("\n\n")[0])
