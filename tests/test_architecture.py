"""Who may import whom, and what must not be loaded until it is needed (DESIGN, section 10)."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import imrec_core

ROOT = Path(imrec_core.__file__).parent.parent

# Lowest first. A module imports from layers above its own line only; two in one line do not know each other.
LAYERS = (
    ("errors", "machine", "locks", "matrices", "leaving", "text_escapes"),  # everything may fail; what processes share
    ("stages",),  # of a search
    ("objects",),  # requests to an object store
    ("object_files", "storage"),  # files on a disk or in an object store
    ("leases", "transfers"),  # what processes of several machines keep from each other, and hand to each other
    ("settings", "tables"),  # what lake.toml and the files may say
    ("lake",),  # the only one that joins paths
    (
        "catalog",
        "run_log",
        "places",
        "column_files",
    ),  # which images there are; which one a path means; what a person adds
    ("metrics", "models", "edits", "exif"),  # declarations that need no picture; what cameras wrote beside it
    ("decode",),  # its batch prepares pictures for a model
    ("weights",),  # where the weights of a model are
    ("loaders",),  # a model by its own library
    ("conversion", "text"),  # a model made for OpenVINO; its text tower
    ("encoders", "demo", "facts"),  # a model made to run; photos made by edits; plain facts of a picture
    ("agreement",),  # how near a model that is made to run comes to its authors'
    ("reduction.method", "reduction.neighbours"),  # what a way to reduce vectors is
    ("reduction.pca", "reduction.kernel_pca", "reduction.training"),
    ("reduction.study",),  # a search for good settings
    ("reduction.autoencoder",),
    ("reduction",),  # names them all
    ("features.declare", "features.dihedral"),  # what a feature is; the eight orientations of a hash
    ("features.feature_metric",),  # a feature with one of its metrics
    (  # the features
        "features.colour",
        "features.structure",
        "features.hashes",
        "features.pdq",
        "features.local",
        "features.neural",
        "features.projections",
        "features.combined",
    ),
    ("features.own",),  # those that a lake declares
    ("features",),  # names them all
    ("freshness", "mixes"),  # which tables are up to date; weights of features by name
    ("reuse", "embed"),  # what was described before; images as vectors
    ("passes",),  # which passes over a shard are needed
    ("extract",),  # pictures → tables
    ("fit", "check", "spread"),  # tables → what is learnt from them, what is wrong with them; extraction by a cluster
    ("conditions",),  # what strangers may ask of them
    ("views", "user_columns"),  # SQL over the tables; what a person adds to them
    ("fonts",),  # letters for names
    ("contact_sheet", "thumbnails", "fusion", "keypoints", "measures"),  # plain numbers and drawing
    ("plots.canvas",),  # what plots are drawn on
    ("plots.curves", "plots.distributions", "plots.comparisons", "plots.confusion"),
    ("plots",),
    ("explain",),  # what two pictures share
    ("explain_sheet", "notebook"),  # draws it; pictures as HTML
    ("scan", "calibration"),  # exact distances to many rows; what distances mean
    ("generation", "hits"),  # opens what index builds; what a search gives back
    ("graphs",),  # builds graphs
    ("edited_copies",),  # copies of the lake's own images as vectors
    ("random_pairs", "placing"),  # what scores are made of; the row of each image
    ("index",),  # builds generations
    ("queries",),  # what is asked for
    ("describe",),  # queries as vectors
    (  # which images may be copies, which are, who belongs together
        "duplicates.candidates",
        "duplicates.comparison",
        "duplicates.cliques",
        "duplicates.contents",
        "duplicates.decisions",
    ),
    ("duplicates.verification",),
    ("duplicates.groups",),  # copies in a lake
    ("duplicates",),
    ("duplicates.move_plan",),  # carries them away
    ("pooling",),  # several queries as one
    ("cutoff",),  # what is near enough to be a match
    ("ranking",),  # which rows are the answer, in which order
    ("ways", "pairs"),  # what is judged, in exact distances; pairs that a person listed
    ("judging",),  # how good the answers are, by labels
    (
        "confusion",
        "breadth",
        "copy_protocol",
        "pairs_judged",
    ),  # how much graphs find; how good answers are, by copies, by pairs
    ("tuning", "fusion_judged"),  # weights that make them better; which fusion does
    ("explore.points", "explore.maps", "explore.thumbnails"),  # vectors as points; maps as files; small pictures
    ("explore.nearest",),  # who is near whom
    ("explore.layout",),  # where each lies
    ("explore.clusters",),  # what lies together
    ("explore.gallery",),  # what is known of images before they are placed
    ("explore.making", "explore.colours"),  # places them; what they are told apart by
    ("explore.picture",),  # draws a map
    ("explore",),
    ("export.spaces", "export.folder"),  # how other tools hold vectors; what a folder of an export holds
    ("export.selection",),  # what is exported, block by block
    ("export.parts",),  # Parquet and CSV
    ("export.faiss", "export.lance", "export.qdrant", "export.report", "export.pictures", "export.shown"),
    ("export.projector", "export.atlas", "export.graphml"),  # what viewers read
    ("export.viewers",),
    ("search", "status", "docs", "evaluate"),  # what is asked of a lake, and of the declarations
    ("export", "plots.of_lake"),
    ("web.limits", "web.answers", "web.replies"),  # what a server takes; what it says, and how
    ("web.asking", "web.guard", "web.gate", "web.listing", "web.metrics"),  # what may be asked; who gets in; how many
    ("web.finding", "web.layouts", "web.uploads"),  # duplicates, in the background; open maps; pictures that were sent
    ("web.serving",),  # what the routes share
    ("web.duplicates", "web.files", "web.looking", "web.maps", "web.searching", "web.status"),  # routes
    ("web.explaining", "web.pictures"),  # routes that read files of images
    ("web.app",),  # puts them together
    ("web",),
)
LEVEL = {f"imrec_core.{name}": level for level, layer in enumerate(LAYERS) for name in layer}


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


def test_import_walk_sees_every_form(tmp_path):
    file = tmp_path / "module.py"
    file.write_text(
        "import a.b\nfrom imrec_core import lake, Lake\ndef f():\n    from imrec_core.features import colour"
    )
    assert set(imports(file)) == {"a.b", "imrec_core.lake", "imrec_core", "imrec_core.features.colour"}


def test_every_core_module_has_its_layer():
    assert set(LEVEL) == set(CORE)
    assert len(LEVEL) == sum(map(len, LAYERS))


@pytest.mark.parametrize("name", CORE)
def test_core_module_imports_from_lower_layers_only(name):
    inside = {module for module in imports(CORE[name]) if module.split(".")[0] == "imrec_core"}
    assert {module for module in inside if LEVEL.get(module, len(LAYERS)) >= LEVEL[name]} == set()


def test_core_does_not_know_dagster_the_command_or_the_tests():
    paths = modules("imrec_core").values()
    roots = {module.split(".")[0] for path in paths for module in imports(path)}
    assert {"numpy", "imrec_core"} <= roots
    assert {root for root in roots if root.startswith(("dagster", "imrec_dagster", "click", "tests"))} == set()


@pytest.mark.parametrize(
    ("module", "kept_out"),
    [
        ("imrec_core", {"numpy", "polars", "PIL"}),
        ("imrec_core.errors", {"numpy", "polars", "PIL"}),
        ("imrec_core.search", {"torch", "torchvision", "openvino", "dagster", "sklearn"}),
        ("imrec_core.extract", {"torch", "torchvision", "openvino", "dagster", "sklearn"}),
        ("imrec_dagster.cli", {"torch", "torchvision", "openvino", "dagster", "sklearn"}),
    ],
)
def test_importing_stays_light(module, kept_out):
    if not any((ROOT / module.replace(".", "/")).with_suffix(s).exists() for s in (".py", "")):
        pytest.skip(f"{module} is not written yet")
    code = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert module in loaded.stdout.split()
    assert kept_out & set(loaded.stdout.split()) == set()


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
        "import sys, imrec_core.encoders, openvino.tools.ovc;"
        "print([name for name, found in sys.modules.items() if found and name.startswith('openvino_telemetry')])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert said.stdout.strip() == "[]"
