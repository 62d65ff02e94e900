"""`imrec serve`: run the page and the HTTP API over a lake. The application is `imrec_core.web`."""

from dataclasses import replace

import click

from imrec_dagster.cli.help import examples
from imrec_dagster.cli.listening import listen
from imrec_dagster.cli.options import lake_option, trust_option
from imrec_dagster.cli.page_server import DEFAULT_PORT, announce_page, require_web, run_server

_MIN_TOKEN_LENGTH = 8


@click.command(short_help="Serve the search page and the HTTP API", epilog=examples("imrec serve --port 8080"))
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; one that other machines can reach needs a token.",
)
@click.option(
    "--port",
    default=DEFAULT_PORT,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port to listen on; 0 for any free one.",
)
@click.option(
    "--token",
    envvar="IMREC_TOKEN",
    metavar="TOKEN",
    help="Token that requests must send (or IMREC_TOKEN); generated if other machines can connect.",
)
@click.option(
    "--upload-mb", default=64, show_default=True, type=click.IntRange(1, 1000), help="Largest upload, in megabytes."
)
@click.option(
    "--filter-seconds",
    default=5.0,
    show_default=True,
    type=click.FloatRange(0.1, 600),
    help="Time limit of an SQL filter, in seconds.",
)
@trust_option
@lake_option
def serve(host: str, port: int, token: str | None, upload_mb: int, filter_seconds: float, lake: str) -> None:
    """Serve the search page and the HTTP API until Ctrl-C."""
    from imrec_core.lake.lake import Lake

    require_web()
    from imrec_core.web import create_app
    from imrec_core.web.limits import Limits
    from imrec_core.web.security import LOOPBACK, is_loopback

    if token is not None and len(token) < _MIN_TOKEN_LENGTH:
        raise click.BadParameter(
            f"has {len(token)} characters, expected {_MIN_TOKEN_LENGTH} or more", param_hint="--token"
        )
    if token is None and not is_loopback(host):
        import secrets

        token = secrets.token_urlsafe(24)
    hosts = {host, *LOOPBACK} if is_loopback(host) else None
    limits = replace(Limits(), upload_bytes=upload_mb * 1_000_000, filter_seconds=filter_seconds)
    app = create_app(Lake(lake), token=token, hosts=hosts, limits=limits, warm_up=True)
    with listen(host, port, advice="take another --port or --host") as listener:
        announce_page(listener, host, token=token)
        run_server(app, limits, listener)
