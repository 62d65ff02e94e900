"""Run the command: `python -m imrec_dagster.cli`."""

from imrec_dagster.cli.main import main

main()
