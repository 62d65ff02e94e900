"""Names of a package that are imported on first use (PEP 562), so that importing the package costs nothing."""

import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_names(
    package: str, homes: Mapping[str, str], deprecated: Mapping[str, str] | None = None
) -> Callable[[str], Any]:
    """Make the `__getattr__` of a package that imports public names on first use.

    Args:
        package: Dotted name of the package.
        homes: Each public name and the module below the package that defines it.
        deprecated: Old names and the public names that replace them. Their use raises a `DeprecationWarning`.
    """

    def __getattr__(name: str) -> Any:
        if deprecated and name in deprecated:
            warnings.warn(f"{package}.{name} is deprecated; use {deprecated[name]}", DeprecationWarning, stacklevel=2)
            name = deprecated[name]
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{homes[name]}"), name)

    return __getattr__
