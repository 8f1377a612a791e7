"""The operator's door: `platevault COMMAND`, one command group a file.

- `backup`: `platevault backup` and `restore`.
- `backup_key`: `platevault backup-key new|decrypt`.
- `bucket`: `platevault bucket configure|check|tier`.
- `config`: `platevault config`: the effective settings.
- `demo`: `platevault demo`: all servers on this machine, with drawn detections.
- `export`: `platevault export`: search results as zip files.
- `image`: `platevault image explain`.
- `installation`: `platevault migrate`, `setup` and `doctor`.
- `integrity`: `platevault reconcile`, `scrub` and `rebuild`.
- `retention`: `platevault retention set|remove|list|report`.
- `send`: `platevault send`: the reference collector.
- `listening`: the socket of `serve`, bound before anything else starts.
- `serve`: `platevault serve` and `platevault worker`.
- `spool`: `platevault spool list|retry|drain|lost`.
- `variants`: `platevault variants rebuild`.
- `command_table`: the commands, each imported when it runs.
"""

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from platevault.cli.command_table import COMMANDS, LazyGroup
from platevault.domain.errors import VaultError
from platevault.extras import NotInstalled

app = typer.Typer(
    name="platevault",
    cls=LazyGroup,
    help="Keeps what license-plate cameras see.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(version("platevault"))
        raise typer.Exit


@app.callback()
def _root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Keeps what license-plate cameras see."""


def _placeholder() -> None:
    """Hold the place of a command in the help; `LazyGroup` runs the command itself."""


for _command in COMMANDS.values():
    app.command(_command.name, help=_command.summary)(_placeholder)


def main() -> None:
    """Run the command line; exit code 2 for what could not begin or was refused, 1 for what did not come to its end."""
    try:
        app()
    except (VaultError, NotInstalled) as error:
        for line in str(error).splitlines():
            print(f"platevault: {line}", file=sys.stderr)
        sys.exit(2)
