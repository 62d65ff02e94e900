"""Import paths of version 0.1 as deprecated aliases, to be removed after the next version.

`imrec_core/__init__.py` installs the finder, which Python calls only for modules that do not exist. The tables hold the
modules that the documentation of 0.1 names, and those of its public names.
"""

import sys
import warnings
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

MODULES = {
    "contact_sheet": ["plots.contact_sheet"],
    "decode": ["images.decode", "images.batch"],
    "demo": ["images.sample_photos"],
    "explore": ["maps"],
    "explore.picture": ["maps.picture"],
    "features.declare": ["features.feature"],
    "hits": ["search.hits"],
    "judging": ["evaluation.retrieval", "evaluation.labels"],
    "measures": ["evaluation.measures"],
    "metrics": ["features.metrics"],
    "plots.of_lake": ["evaluation.figures"],
    "queries": ["search.query"],
    "settings": ["lake.settings", "lake.settings_file"],
    "stages": ["runtime.timing"],
    "text": ["search.query", "models.text_encoder"],
    "tuning": ["evaluation.weight_tuning", "evaluation.tuning_tasks"],
    "views": ["sql.views", "sql.row_filter"],
}
"""Old module → modules that hold its names now, all below `imrec_core`."""

NAMES = {
    "explore.make_map": "build_map",
    "explore.open_map": "load_map",
    "hits.Part": "FeatureScore",
    "judging.Judged": "RetrievalScores",
    "judging.judge": "evaluate_retrieval",
    "stages.noting": "record_timings",
    "stages.stage": "timed",
    "tuning.Task": "TuningTask",
    "tuning.Tuned": "TunedWeights",
}
"""Old name → new name, where they differ."""


class _MovedModules:
    """Finds and loads the old modules.

    It has no base class: `importlib.abc` would make a process that imports `imrec_core` slower, 44 ms of CPU instead of
    31 (2026-11).
    """

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        root, _, old = fullname.partition(".")
        if root != "imrec_core" or old not in MODULES:
            return None
        return ModuleSpec(fullname, self, is_package=True)  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> None:
        """Let Python create the module."""

    def exec_module(self, module: ModuleType) -> None:
        old = module.__name__.removeprefix("imrec_core.")
        homes = [f"imrec_core.{home}" for home in MODULES[old]]

        def __getattr__(name: str) -> Any:
            new = NAMES.get(f"{old}.{name}", name)
            home = None if name.startswith("__") else next((h for h in homes if hasattr(import_module(h), new)), None)
            if home is None:
                raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")
            text = f"{module.__name__}.{name} is deprecated; use {home}.{new}"
            warnings.warn(text, DeprecationWarning, stacklevel=2)
            return getattr(import_module(home), new)

        module.__getattr__ = __getattr__  # type: ignore[method-assign]


def install() -> None:
    """Install the finder of old import paths, once."""
    if not any(isinstance(finder, _MovedModules) for finder in sys.meta_path):
        sys.meta_path.append(_MovedModules())
