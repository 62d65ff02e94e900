"""The `imrec` command group: registers the subcommands, and turns errors into exit statuses.

A subcommand parses its options, makes one call and prints the result: results to stdout, progress and errors to stderr.
Commands import torch and Dagster when they need them, so that the others start fast.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from imrec_core.errors import ImrecError, MissingDependency
from imrec_core.lake.storage.os_errors import translate_os_errors
from imrec_dagster.cli.build import build
from imrec_dagster.cli.check import check
from imrec_dagster.cli.compare import compare
from imrec_dagster.cli.completion import completion
from imrec_dagster.cli.demo import demo
from imrec_dagster.cli.duplicates import duplicates
from imrec_dagster.cli.evaluate import evaluate
from imrec_dagster.cli.export import export
from imrec_dagster.cli.failures import failures
from imrec_dagster.cli.features import features
from imrec_dagster.cli.gc import gc
from imrec_dagster.cli.help import SectionedGroup, examples
from imrec_dagster.cli.issues import issues
from imrec_dagster.cli.label_issues import label_issues
from imrec_dagster.cli.map import make_map
from imrec_dagster.cli.models import models
from imrec_dagster.cli.open import open_page
from imrec_dagster.cli.outliers import outliers
from imrec_dagster.cli.plot import plot
from imrec_dagster.cli.sample import sample
from imrec_dagster.cli.search import search
from imrec_dagster.cli.serve import serve
from imrec_dagster.cli.sources import sources
from imrec_dagster.cli.sql import sql
from imrec_dagster.cli.status import status
from imrec_dagster.cli.tag import tag
from imrec_dagster.cli.tune import tune
from imrec_dagster.cli.ui import ui


@click.group(
    cls=SectionedGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples("imrec build ~/Pictures", "imrec search photo.jpg", "imrec search --help"),
)
@click.version_option(package_name="imrec")
def imrec() -> None:
    """Find the most similar images in folders of half a million."""


imrec.add_section("Build", build, sources, features, models, demo)
imrec.add_section("Search", open_page, search, make_map, export)
imrec.add_section("Copies", duplicates, compare)
imrec.add_section("Curate", issues, outliers, label_issues, sample, tag)
imrec.add_section("Evaluate", evaluate, tune, plot)
imrec.add_section("Lake", status, failures, sql, check, gc)
imrec.add_section("Serve and Dagster", serve, ui)
imrec.add_section("Shell", completion)


@contextmanager
def _translate_missing_library() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        if not name or name.startswith("imrec"):
            raise
        raise MissingDependency(name) from error


def main() -> None:
    """Run the command; print an `ImrecError` as one line and exit with status 1.

    Errors of the operating system, and libraries that are not installed, are `ImrecError`s, too.
    """
    try:
        with translate_os_errors(), _translate_missing_library():
            imrec.main(prog_name="imrec", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except click.exceptions.Exit as request:
        sys.exit(request.exit_code)
    except ImrecError as error:
        sys.exit(f"imrec: {' '.join(str(error).split())}")
    except (KeyboardInterrupt, click.Abort):
        sys.exit("imrec: interrupted; completed work is kept. Run the command again to continue.")
    except BrokenPipeError:  # `imrec … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
