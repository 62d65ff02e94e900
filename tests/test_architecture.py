"""The order of the packages of `imrec_core`, and what importing one of them may load."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest

import imrec_core

ROOT = Path(imrec_core.__file__).parent.parent
ORDER = [
    *("errors", "runtime", "lake", "catalog", "images", "plots", "models", "features", "extraction", "sql", "index"),
    *("duplicates", "maps", "search", "evaluation", "curation", "export", "upkeep", "status", "web"),
]
"""Each imports only from those before it, in the way of the data."""


def modules(package: str) -> dict[str, Path]:
    """Dotted name → file, for every module of a package."""
    found = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


CORE = {name: path for name, path in modules("imrec_core").items() if name != "imrec_core"}


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, at its head, in a function or for its types alone."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import, which this test does not follow"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in CORE else node.module


def package_of(module: str) -> str:
    return module.split(".")[1]


def test_import_walk_sees_every_form(tmp_path):
    file = tmp_path / "module.py"
    file.write_text(
        "import a.b\nfrom imrec_core import lake, Lake\ndef f():\n    from imrec_core.features import colour"
    )
    assert set(imports(file)) == {"a.b", "imrec_core.lake", "imrec_core", "imrec_core.features.colour"}


def test_core_holds_the_packages_and_nothing_else():
    entries = {path.name for path in (ROOT / "imrec_core").iterdir() if path.name != "__pycache__"}
    files = {"__init__.py", "py.typed", "errors.py", "status.py"}
    assert entries == files | {name for name in ORDER if f"{name}.py" not in files}


@pytest.mark.parametrize("name", CORE)
def test_module_imports_from_earlier_packages_only(name):
    allowed = ORDER[: ORDER.index(package_of(name)) + 1]
    inside = {module for module in imports(CORE[name]) if module.startswith("imrec_core.")}
    assert {module for module in inside if package_of(module) not in allowed} == set()


@pytest.mark.parametrize("package", ORDER)
def test_package_has_no_import_circle(package):
    inside = {name for name in CORE if package_of(name) == package}
    graph = {name: {module for module in imports(CORE[name]) if module in inside} for name in inside}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_core_does_not_know_dagster_the_command_or_the_tests():
    paths = modules("imrec_core").values()
    roots = {module.split(".")[0] for path in paths for module in imports(path)}
    assert {"numpy", "imrec_core"} <= roots
    assert {root for root in roots if root.startswith(("dagster", "imrec_dagster", "click", "tests"))} == set()


@pytest.mark.parametrize("name", [name for name in CORE if name.startswith("imrec_core.web")])
def test_web_trusts_no_sql(name):
    """It has no trusted policy, opens no `Recommender` without its own, and runs no SQL of its own on the rows."""
    tree = ast.parse(CORE[name].read_text("utf-8"))
    attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert attributes.isdisjoint({"TRUSTED", "_connection"})
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        named = {word.arg: ast.unparse(word.value) for word in call.keywords}
        if ast.unparse(call.func) == "Recommender":
            assert named == {"sql_policy": "self.sql_policy", "log_as": "'http'"}
        assert ast.unparse(call.func) not in ("Recommender.open", "SqlPolicy")


@pytest.mark.parametrize(
    ("module", "kept_out"),
    [
        ("imrec_core", {"numpy", "polars", "PIL"}),
        ("imrec_core.errors", {"numpy", "polars", "PIL"}),
        ("imrec_core.search.recommender", {"torch", "torchvision", "openvino", "dagster", "sklearn"}),
        ("imrec_core.extraction.extract", {"torch", "torchvision", "openvino", "dagster", "sklearn"}),
        ("imrec_dagster", {"numpy", "polars", "PIL", "dagster"}),
        ("imrec_dagster.cli.main", {"torch", "torchvision", "openvino", "dagster", "sklearn"}),
    ],
)
def test_importing_stays_light(module, kept_out):
    if not any((ROOT / module.replace(".", "/")).with_suffix(s).exists() for s in (".py", "")):
        pytest.skip(f"{module} is not written yet")
    code = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert module in loaded.stdout.split()
    assert kept_out & set(loaded.stdout.split()) == set()


def private_of_dagster(path: Path) -> set[str]:
    """Names of Dagster's packages behind an underscore that a module imports, or reads as attributes of `dg`."""
    imported = {name for name in imports(path) if name.startswith("dagster") and "._" in name}
    attributes = (node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Attribute))
    return imported | {ast.unparse(node) for node in attributes if re.match(r"(dg|dagster)\._", ast.unparse(node))}


def test_private_names_of_dagster_are_seen(tmp_path):
    file = tmp_path / "module.py"
    file.write_text("import dagster as dg\nfrom dagster_webserver._x import y\ndg._core.z\nimport dagster._cli")
    assert private_of_dagster(file) == {"dagster_webserver._x", "dg._core", "dg._core.z", "dagster._cli"}


def test_private_names_of_dagster_are_imported_in_one_place_for_one_version():
    paths = modules("imrec_dagster")
    users = {name for name, path in paths.items() if private_of_dagster(path)}
    assert users == {"imrec_dagster._dagster_internals"}
    assert version("dagster") == "1.13.27", "see that imrec_dagster/_dagster_internals.py is right for this one"


def test_each_private_name_of_dagster_has_a_use():
    paths = modules("imrec_dagster")
    internals = ast.parse(paths.pop("imrec_dagster._dagster_internals").read_text("utf-8"))
    names = {alias.name for node in internals.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    used = {node.id for node in ast.walk(internals) if isinstance(node, ast.Name)}
    others = "".join(path.read_text("utf-8") for path in paths.values())
    assert {name for name in names - used if not re.search(rf"\b{name}\b", others)} == set()
    from imrec_dagster._dagster_internals import __all__ as offered

    assert {name for name in offered if not re.search(rf"\b{name}\b", others)} == set()


def test_public_names_are_those_of_the_lazy_table():
    assert imrec_core.__all__ == sorted(imrec_core._HOME, key=lambda name: (not name.isupper(), name))
    for name, home in imrec_core._HOME.items():
        assert getattr(imrec_core, name) is getattr(import_module(f"imrec_core.{home}"), name)


def test_type_checkers_see_the_same_public_names():
    (block,) = (n for n in ast.parse(Path(imrec_core.__file__).read_text()).body if isinstance(n, ast.If))
    seen = {alias.name: node.module for node in block.body for alias in node.names}
    assert seen == {name: f"imrec_core.{home}" for name, home in imrec_core._HOME.items()}


def test_name_that_is_not_public_is_no_attribute():
    with pytest.raises(AttributeError, match="no attribute 'Recomender'"):
        _ = imrec_core.Recomender


def test_openvino_tells_nobody_that_it_is_used():
    code = (
        "import sys, imrec_core.models.encoders, openvino.tools.ovc;"
        "print([name for name, found in sys.modules.items() if found and name.startswith('openvino_telemetry')])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert said.stdout.strip() == "[]"
