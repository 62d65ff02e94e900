"""`imrec completion`: completion scripts of shells, and completions of files, folders and features."""

from typing import TYPE_CHECKING

import click

from imrec_dagster.cli.help import examples

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    Completions = list[CompletionItem[str]]

_SHELLS = ("bash", "zsh", "fish")
_VARIABLE = "_IMREC_COMPLETE"  # click looks for this name in the environment of `imrec`


@click.command(
    short_help="Print the completion script of a shell",
    epilog=examples(
        """eval "$(imrec completion bash)"      # in ~/.bashrc""",
        """eval "$(imrec completion zsh)"       # in ~/.zshrc, after compinit""",
        """imrec completion fish | source       # in ~/.config/fish/config.fish""",
    ),
)
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a script that completes commands, options, files and features; to install it, load it when SHELL starts."""
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None, shell  # click has the three
    script = found(context.find_root().command, {}, "imrec", _VARIABLE)
    click.echo(script.source_template % script.source_vars(), nl=False)  # `source` also runs bash, for its version


def complete_files(context: click.Context, parameter: click.Parameter, incomplete: str) -> "Completions":
    """Let the shell complete names of files."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="file")]


def complete_folders(context: click.Context, parameter: click.Parameter, incomplete: str) -> "Completions":
    """Let the shell complete names of folders."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="dir")]


def complete_features(context: click.Context, parameter: click.Parameter, incomplete: str) -> "Completions":
    """Complete names of features, those of `lake.toml` among them."""
    from click.shell_completion import CompletionItem

    from imrec_core.errors import ImrecError
    from imrec_core.features import FEATURES, known_features
    from imrec_core.lake.lake import Lake

    try:
        known = known_features(Lake(context.params.get("lake") or "data_lake"))
    except ImrecError:  # lake.toml is invalid; running the command prints why
        known = FEATURES
    return [
        CompletionItem(name, help=feature.summary) for name, feature in known.items() if name.startswith(incomplete)
    ]
