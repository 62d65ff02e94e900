"""Options that the commands which measure share, and what they mean."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imrec_core.lake.lake import Lake

if TYPE_CHECKING:
    from imrec_core.evaluation.labels import Labels
    from imrec_core.index.generation import Generation

labels_option = click.option(
    "--labels", type=click.Path(path_type=Path, dir_okay=False), help="CSV with the columns path, label."
)
naming_option = click.option("--naming", type=click.Choice(["holidays", "ukbench"]), help="Labels from file names.")


def refuse_several(given: Mapping[str, object]) -> None:
    """Of options that exclude each other one may be given."""
    names = [name for name, value in given.items() if value]
    if len(names) > 1:
        raise click.UsageError(f"give one of {', '.join(names)}")


def progress(line: str) -> None:
    """Say how far it is."""
    click.echo(line, err=True)


def find_labels(generation: "Generation", lake: Lake, file: Path | None, naming: str | None) -> "Labels":
    """By the options above; folders without any."""
    from imrec_core.evaluation.labels import csv_labels, folder_labels, named_labels

    if file:
        return csv_labels(generation, file, lake.settings().sources)
    return named_labels(generation, naming) if naming else folder_labels(generation)


def find_mixes(
    lake: Lake, generation: "Generation", by: Sequence[str]
) -> tuple[list[str], dict[str, dict[str, float]] | None]:
    """The features that were named, and the weights of the mixes.

    Where nothing was named it is the default mix, if the lake has two of its features; where features were but no mix,
    None, for all of them with the same weight.
    """
    from imrec_core.features.feature_metric import split_name
    from imrec_core.search.feature_weights import DEFAULT, MIXES, mix_weights

    named = [name for name in by if name.startswith("mix:")]
    settings, features = lake.settings(), generation.features
    mixes = {name: mix_weights(settings, name.removeprefix("mix:"), features) for name in named}
    if not by and sum(split_name(part)[0] in features for part in MIXES[DEFAULT]) > 1:
        mixes = {f"mix:{DEFAULT}": mix_weights(settings, DEFAULT, features)}
    return [name for name in by if name not in mixes], mixes or None
