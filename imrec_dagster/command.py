"""Deprecated: import `run_build` from `imrec_dagster.cli.build`."""

import warnings

from imrec_dagster.cli.build import run_build as run_build

warnings.warn("imrec_dagster.command is now imrec_dagster.cli.build", DeprecationWarning, stacklevel=2)
