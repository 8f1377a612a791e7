"""The operator's door: `platevault COMMAND`, one command group a file.

- `backup`: `platevault backup` and `restore`: the database, this node's spool and the bucket, in the order that fits together.
- `bucket`: `platevault bucket configure|check|tier`.
- `config`: `platevault config`: what the service would run with.
- `demo`: `platevault demo`: everything on this machine, with drawn street scenes coming in.
- `export`: `platevault export`: what a search finds, with its images, into zip files here.
- `installation`: `platevault migrate`, `setup` and `doctor`: an installation, made and looked after.
- `integrity`: `platevault reconcile`, `scrub` and `rebuild`: rows and objects, brought to agree again. Dry runs unless told `--yes`.
- `retention`: `platevault retention set|remove|list|report`: how long what is kept, and whether it really goes then.
- `send`: `platevault send`: the reference collector, for a folder of photographs.
- `serve`: `platevault serve` and `platevault worker`.
- `spool`: `platevault spool list|retry|drain|lost`: the spool of this node, and nodes that are gone.
- `storage`: What an operator does with what is stored: the bucket, the spool, and the jobs that keep rows and objects in agreement.
- `variants`: `platevault variants rebuild`: named pictures of stored images, made again after IMAGE_VARIANTS was changed.
"""

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from platevault.cli import config as configuration
from platevault.cli import demo, export, installation, send, storage
from platevault.cli import serve as serving
from platevault.domain.errors import VaultError

app = typer.Typer(
    name="platevault",
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


app.command("serve")(serving.serve)
app.command("worker")(serving.worker)
app.command("demo")(demo.demo)
app.command("send")(send.send)
app.command("export")(export.export)
app.command("setup")(installation.setup)
app.command("migrate")(installation.migrate)
app.command("doctor")(installation.doctor)
app.command("config")(configuration.config)
app.add_typer(storage.app)


def main() -> None:
    """Run the command line; exit code 2 for what could not begin or was refused, 1 for what did not come to its end."""
    try:
        app()
    except VaultError as error:
        print(f"platevault: {error}", file=sys.stderr)
        sys.exit(2)
