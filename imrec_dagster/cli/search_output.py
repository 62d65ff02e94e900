"""Output of `imrec search`: a table, JSON or paths of the hits, a contact sheet, explanations and links."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imrec_core.errors import ImageError
from imrec_core.runtime.text import escaped
from imrec_dagster.cli.output import from_here, write_gallery, write_paths
from imrec_dagster.cli.tables import table

if TYPE_CHECKING:
    from imrec_core.search.hits import FeatureScore, Hits

_COLOURS = {  # by likeness
    "same image": "green",
    "very close": "green",
    "close": "cyan",
    "related": "yellow",
    "weak": "bright_black",
}


@dataclass(frozen=True)
class SearchOutput:
    """Options of a search for one query about what is printed and written.

    Attributes:
        sheet: File of the contact sheet.
        explain: Folder of the explanations.
        link: Folder of the links to the hits.
        paths: Whether to print paths alone, one per line.
        null: Whether to end each path with a NUL byte instead; implies `paths`.
        quiet: Whether to print no notes to stderr.
    """

    sheet: str | None
    explain: str | None
    link: Path | None
    paths: bool
    null: bool
    quiet: bool
    as_json: bool

    def refuse_conflicts(self, *, verbose: bool) -> None:
        """Raise `click.UsageError` for options that exclude each other."""
        if self.as_json and self.only_paths:
            raise click.UsageError("give one of --json and --paths (or --null)")
        if self.quiet and verbose:
            raise click.UsageError("give one of --quiet and --verbose")

    @property
    def only_paths(self) -> bool:
        """Whether stdout gets paths alone."""
        return self.paths or self.null

    def note(self, text: str) -> None:
        """Print a note to stderr, unless `quiet`."""
        if not self.quiet:
            click.echo(text, err=True)

    def write(self, hits: "Hits", title: str, none_left: str) -> None:
        """Write the files, then print the notes and the hits.

        Args:
            title: Title of the contact sheet.
            none_left: Message if there are no hits, although no threshold excludes any.

        Raises:
            click.BadParameter: A file cannot be written.
        """
        if sheet := self.sheet:
            write_gallery(sheet, lambda: hits.contact_sheet(sheet, title=title), "--sheet")
        if self.explain:
            self._explain(hits, Path(self.explain))
        if self.link:
            from imrec_dagster.cli.links import link_hits

            self.note(link_hits(hits, self.link))
        for remark in hits.notes:
            self.note(remark)
        none = "no good match" if hits.cut else none_left
        if self.only_paths:
            write_paths([hit.path for hit in hits], self.null)
            if not hits:
                self.note(none)
        elif self.as_json:
            click.echo(hits.to_json())
        else:
            click.echo(_hits_table(hits) if hits else none)

    def _explain(self, hits: "Hits", folder: Path) -> None:
        """Write a plot for each hit, named by its rank in the table, and print their names to stderr."""
        written: list[str] = []
        digits = max(len(str(len(hits))), 2)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for i, hit in enumerate(hits):
                name = f"{hit.rank:0{digits}}.png"
                try:
                    hits.explain(i).save(folder / name)
                except ImageError as error:  # a file may be missing by now; the other hits still get a plot
                    self.note(f"no {name}: {escaped(str(error))}")
                else:
                    written.append(name)
        except OSError as error:
            raise click.BadParameter(f"cannot write into {folder}: {error}", param_hint="--explain") from error
        names = f"{min(written)} to {max(written)}" if len(written) > 1 else "".join(written) or "no plot"
        self.note(f"explanations of the hits: {names} in {folder}")


def _hits_table(hits: "Hits") -> str:
    names = list(hits[0].parts)
    rows = [
        [
            str(h.rank),
            f"{h.score:.3f}",
            h.likeness,
            *(_distance(h.parts[n]) for n in names),
            h.image_id,
            from_here(h.path),
        ]
        for h in hits
    ]
    return table(["", "score", "", *names, "image_id", "path"], rows, colours={2: _COLOURS})


def _distance(part: "FeatureScore") -> str:
    return part.note.removeprefix("the ") or f"{part.distance:.4g}"
