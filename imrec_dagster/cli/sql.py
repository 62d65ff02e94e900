"""`imrec sql`: query the tables of a lake."""

import json

import click

from imrec_dagster.cli.help import examples
from imrec_dagster.cli.options import json_option, lake_option
from imrec_dagster.cli.progress_line import ProgressLine


@click.command(
    short_help="Query the tables of the lake in SQL",
    epilog=examples("imrec sql 'SELECT source, count(*) FROM images GROUP BY source' --csv"),
)
@click.argument("statement", metavar="SELECT")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@json_option
@lake_option
def sql(statement: str, as_csv: bool, as_json: bool, lake: str) -> None:
    """Query the lake's tables in SQL: catalog, images, rows, runs, and one per feature.

    "DESCRIBE rows" lists the columns of a table; those of rows are what --where and --order-by can name.
    """
    from imrec_core.lake.lake import Lake
    from imrec_core.sql.csv_cells import csv_of
    from imrec_core.sql.views import query, translate_errors

    with ProgressLine("running the query"):
        found = query(Lake(lake), statement)
        with translate_errors():
            if as_csv:
                text = csv_of(found)
            elif as_json:
                text = json.dumps([dict(zip(found.columns, row)) for row in found.fetchall()], default=str) + "\n"
            else:
                text = str(found)
    click.echo(text, nl=False)
