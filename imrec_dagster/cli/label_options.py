"""Options for labels, shared by the commands that evaluate, and how to resolve them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from imrec_core.evaluation.labels import Labels
    from imrec_core.index.generation import Generation
    from imrec_core.lake.lake import Lake

labels_option = click.option(
    "--labels", type=click.Path(path_type=Path, dir_okay=False), help="CSV file with the columns path, label."
)
naming_option = click.option(
    "--naming", type=click.Choice(["holidays", "ukbench"]), help="Take labels from file names, as in this data set."
)


def refuse_several(given: Mapping[str, object]) -> None:
    """Raise `click.UsageError` if more than one of these options is given."""
    names = [name for name, value in given.items() if value]
    if len(names) > 1:
        raise click.UsageError(f"give one of {', '.join(names)}")


def find_labels(generation: "Generation", lake: "Lake", file: Path | None, naming: str | None) -> "Labels":
    """Return the labels by `--labels` or `--naming`; without either, folders are labels."""
    from imrec_core.evaluation.labels import csv_labels, folder_labels, named_labels

    if file:
        return csv_labels(generation, file, lake.settings().sources)
    return named_labels(generation, naming) if naming else folder_labels(generation)


def find_mixes(
    lake: "Lake", generation: "Generation", by: Sequence[str]
) -> tuple[list[str], dict[str, dict[str, float]] | None]:
    """Split names into features, and mixes with their weights.

    Without names, the mix is the default one if the generation has two of its features. The mixes are None if only
    features are named, or if there is no default mix; the evaluation then fuses all features with equal weights.
    """
    from imrec_core.features.feature_metric import split_name
    from imrec_core.search.feature_weights import DEFAULT, MIXES, mix_weights

    named = [name for name in by if name.startswith("mix:")]
    settings, features = lake.settings(), generation.features
    mixes = {name: mix_weights(settings, name.removeprefix("mix:"), features) for name in named}
    if not by and sum(split_name(part)[0] in features for part in MIXES[DEFAULT]) > 1:
        mixes = {f"mix:{DEFAULT}": mix_weights(settings, DEFAULT, features)}
    return [name for name in by if name not in mixes], mixes or None
