"""Commands of `platevault`: module and help line of each, imported on use."""

from dataclasses import dataclass
from typing import Any, Final

import typer
from typer.core import TyperGroup
from typer.main import get_group

from platevault.extras import NotInstalled, server_module


@dataclass(frozen=True, slots=True, kw_only=True)
class LazyCommand:
    """One command or group of commands: `attribute` of `module` is its function or its `typer.Typer`."""

    name: str
    module: str
    attribute: str
    summary: str

    def load(self) -> Any:
        """Import the command, as Typer runs it. Raises `NotInstalled` if it needs the server and the server is not installed."""
        found = getattr(server_module(self.module, needed_by=f"`platevault {self.name}`"), self.attribute)
        holder = typer.Typer()
        if isinstance(found, typer.Typer):
            holder.add_typer(found, name=self.name)
        else:
            holder.command(self.name)(found)
        return get_group(holder).commands[self.name]


_HELP: Final = frozenset({"-h", "--help"})


class LazyGroup(TyperGroup):
    """A group that imports a command when the command runs. Its help needs none of them."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        if name not in COMMANDS:
            return name, command, rest
        try:
            return name, COMMANDS[name].load(), rest
        except NotInstalled as error:
            if not _HELP & set(rest):
                raise
            typer.echo(f"{COMMANDS[name].summary}\n\n{error}")
            raise typer.Exit from error


def _command(name: str, module: str, summary: str, *, attribute: str = "") -> LazyCommand:
    return LazyCommand(name=name, module=f"platevault.cli.{module}", attribute=attribute or name, summary=summary)


# The summary repeats the first paragraph of the command's own help; a test compares them.
COMMANDS: Final = {
    command.name: command
    for command in (
        _command("serve", "serve", "Take batches and answer reads, until SIGTERM or Ctrl-C."),
        _command("worker", "serve", "Drain this node's spool and do what is due, until SIGTERM."),
        _command(
            "demo", "demo", "Start PostgreSQL and an S3 server, serve, and feed the vault with drawn street scenes."
        ),
        _command(
            "send",
            "send",
            "Send photographs as detections, each with its plate crop, through outages and interruptions, none twice.",
        ),
        _command(
            "export",
            "export",
            "Export what a search finds: each image under its key, manifest.json, detections.csv and README.txt in each archive.",
        ),
        _command("setup", "installation", "Migrate the database, configure the bucket, make the MinIO identities."),
        _command("migrate", "installation", "Bring the database to this version's schema."),
        _command("doctor", "installation", "Look at database, spool, store, clock, URLs, identities and worker."),
        _command(
            "config", "config", "Print the effective configuration, secrets masked; exit code 2 when it is not valid."
        ),
        _command("reconcile", "integrity", "Hold rows against objects."),
        _command(
            "scrub", "integrity", "Read stored images again and compare their digests, from where the run before ended."
        ),
        _command(
            "rebuild",
            "integrity",
            "Find objects without row and, with --yes, make their rows from what the objects say of themselves: ids, times, camera, batch, retention, digests, holds.",
        ),
        _command(
            "backup",
            "backup",
            "Back up the database (pg_dump), then this node's spool, then the bucket, while all of it runs.",
        ),
        _command(
            "backup-key",
            "backup_key",
            "Make the key pair of encrypted backups, or decrypt one file of a backup.",
            attribute="app",
        ),
        _command(
            "restore",
            "backup",
            "Put a backup back while nothing of the vault runs: the objects that are not in the bucket, the spool where its folder has none, the database where it is empty.",
        ),
        _command(
            "sweep",
            "integrity",
            "Forget what is past its retention and not held: rows become tombstones, then bytes go.",
        ),
        _command("retention", "retention", "How long images are kept, by collector and camera.", attribute="app"),
        _command(
            "bucket",
            "bucket",
            "The bucket: private, with the lifecycle rules that the retention needs.",
            attribute="app",
        ),
        _command(
            "spool",
            "spool",
            "This node's spool: what waits, what was set aside, and nodes that are gone.",
            attribute="app",
        ),
        _command("image", "image", "Single images.", attribute="app"),
        _command("variants", "variants", "Named pictures made of each image (IMAGE_VARIANTS).", attribute="app"),
    )
}
