"""The `imrec` command. One file a subcommand; main.py registers them. Shared options are in options.py."""


def main() -> None:
    """Run the command. Console scripts of version 0.1 name it as `imrec_dagster.cli:main`."""
    from imrec_dagster.cli.main import main as run

    run()
