"""`imrec issues`: images of poor quality or unlike the others."""

from typing import TYPE_CHECKING

import click

from imrec_dagster.cli.help import examples
from imrec_dagster.cli.options import gallery_option, json_option, lake_option
from imrec_dagster.cli.output import from_here, write_gallery
from imrec_dagster.cli.progress_line import ProgressLine
from imrec_dagster.cli.tables import table

if TYPE_CHECKING:
    from imrec_core.curation.issues import IssueReport

_SHOWN = 20
_SIDES = {"low": "below", "high": "above"}


@click.command(
    short_help="Find blurred, dark, damaged and other poor images",
    epilog=examples("imrec issues --issue blurred --gallery blurred.png"),
)
@click.option("--issue", metavar="NAME", help="List the images with this issue, worst first. Default: counts.")
@click.option("-n", "most", type=click.IntRange(min=1), default=_SHOWN, show_default=True, help="Images to list.")
@click.option("--where", metavar="SQL", help="Condition over the rows of the images to report; the limits stay.")
@click.option("--by", metavar="FEATURE", help="Feature that tells outliers. Default: the lake's first feature.")
@click.option("--limit", "limits", multiple=True, metavar="NAME=VALUE", help="Limit of an issue; repeatable.")
@click.option("--csv", "as_csv", is_flag=True, help="Print the images with their issues as CSV; all of them.")
@gallery_option
@json_option
@lake_option
def issues(
    issue: str | None,
    most: int,
    where: str | None,
    by: str | None,
    limits: tuple[str, ...],
    as_csv: bool,
    gallery: str | None,
    as_json: bool,
    lake: str,
) -> None:
    """Find images that are blurred, dark, overexposed, plain, of an odd size or shape, outliers, damaged or failed.

    The limit of each issue follows from the images of the lake, within fixed bounds. No image is decoded. The images
    with their issues are the view "issues" of imrec sql. --json prints all of them.
    """
    from imrec_core.curation.issues import find_issues

    if as_csv and as_json:
        raise click.UsageError("give one of --csv and --json")
    parsed = _parse_limits(limits)
    with ProgressLine("looking for issues"):
        report = find_issues(lake, where=where, by=by, limits=parsed)
        listed = report.findings(issue)
    if gallery:
        write_gallery(gallery, lambda: report.gallery(gallery, issue))
    if as_json:
        click.echo(report.to_json(issue))
    elif as_csv:
        found = report.to_polars()
        click.echo((found.filter(found["issue"] == issue) if issue else found).write_csv(), nl=False)
    elif issue:
        click.echo(_images_table(report, issue, most))
        if len(listed) > most:
            click.echo(f"{len(listed) - most} more; list them with -n {len(listed)}, --json or --csv", err=True)
    else:
        click.echo(_counts_table(report))


def _parse_limits(texts: tuple[str, ...]) -> dict[str, float]:
    """Parse `NAME=VALUE`."""
    limits = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            limits[name] = float(value)
        except ValueError:
            raise click.BadParameter(f"{text!r}: expected NAME=VALUE, such as dark=0.2", param_hint="--limit") from None
    return limits


def _counts_table(report: "IssueReport") -> str:
    rows = []
    for about in report.about():
        limit = "" if about["limit"] is None else f"{_SIDES[about['bad']]} {about['limit']:.3g}"
        rows.append([about["issue"], str(about["images"]), limit, about["summary"]])
    return f"{report.images} images\n" + table(["issue", "images", "limit", ""], rows, texts=[3])


def _images_table(report: "IssueReport", issue: str, most: int) -> str:
    found = report.findings(issue, most=most)
    if not found:
        return "none"
    rows = [
        [f"{f.severity:.2f}", "" if f.value is None else f"{f.value:.3g}", f.image_id or "", from_here(f.path)]
        for f in found
    ]
    return table(["severity", "value", "image_id", "path"], rows)
