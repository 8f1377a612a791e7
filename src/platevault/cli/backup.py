"""`platevault backup` and `restore`: the database, this node's spool and the bucket, in the order that fits together."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import typer
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from platevault.app.commands import (
    backup_context_from_environment,
    backup_context_of,
    backup_keys_from_environment,
    make_embedded_bucket,
)
from platevault.backup.context import BackupContext, Parts
from platevault.backup.create import Backup
from platevault.backup.create import backup as make_backup
from platevault.backup.keys import KeyFiles
from platevault.backup.prune import prune_after
from platevault.backup.restore import Restored
from platevault.backup.restore import restore as put_back
from platevault.backup.verify import Verified, verify_backup
from platevault.cli.serve import DataDir, embedded_settings
from platevault.domain.errors import Corrupted, Stopped, Unavailable

_EVERYTHING: Final = "each file and object"
_NOT_SHOWN: Final = (
    "The service shows no detection until `platevault reconcile --confirm-restore --accept-unknown-erasures`"
)
_ONLY_DIGESTS: Final = "only the digests of encrypted files: --identity FILE reads their content"
T = TypeVar("T")
Moved = Callable[[int], None]

AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]
Database = Annotated[bool, typer.Option("--database/--no-database", help="PostgreSQL.")]
Spool = Annotated[bool, typer.Option("--spool/--no-spool", help="The spool of this node.")]
RecipientsFile = Annotated[
    Path | None,
    typer.Option("--recipients-file", metavar="FILE", help="Encrypt to these public keys, for BACKUP_KEY_FILE."),
]
KeepDays = Annotated[
    int | None,
    # A date a century ago exists in each calendar of ours; one before the year 1 does not.
    typer.Option(
        "--keep-days", metavar="DAYS", min=1, max=36_500, help="Then delete older backups in FOLDER, never the newest."
    ),
]
ErasuresFrom = Annotated[
    list[Path] | None,
    typer.Option(
        "--erasures-from",
        metavar="BACKUP",
        help="Do its erasures on request again too; newer backups beside BACKUP are read anyway.",
    ),
]
IdentityFile = Annotated[
    Path | None,
    typer.Option(
        "--identity", metavar="FILE", envvar="BACKUP_IDENTITY_FILE", help="The secret key of an encrypted backup."
    ),
]
Bucket = Annotated[bool, typer.Option("--bucket/--no-bucket", help="The objects, one file each.")]


def backup(  # noqa: PLR0913  an option each
    *,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="Make one there, under the time at which it begins.")
    ] = None,
    verify: Annotated[
        Path | None,
        typer.Option("--verify", metavar="BACKUP", help="Read one through instead: each file by its digest."),
    ] = None,
    recipients_file: RecipientsFile = None,
    identity: IdentityFile = None,
    database: Database = True,
    dump: Annotated[
        Path | None, typer.Option("--dump", metavar="FILE", help="Take this dump (pg_dump -Fc), made a moment ago.")
    ] = None,
    spool: Spool = True,
    bucket: Bucket = True,
    keep_days: KeepDays = None,
    as_json: AsJson = False,
) -> None:
    """Back up the database (pg_dump), then this node's spool, then the bucket, while all of it runs. Objects that an earlier
    backup in FOLDER has are linked, not copied. A large bucket is better left to the store's own tools: --no-bucket.

    A backup has plates, and no password, token or key. BACKUP_RECIPIENT encrypts it.

    Exit code 0 for a whole backup, 1 for one that did not come to its end or
    could not read each object, 2 for one that could not begin.
    """
    if (out is None) == (verify is None):
        raise typer.BadParameter("say either --out FOLDER or --verify BACKUP")
    files = KeyFiles(recipients=recipients_file, identity=identity)
    if verify is not None:
        with _ending(), _progress("objects read") as moved:
            keys = backup_keys_from_environment(files)
            found = asyncio.run(verify_backup(verify, keys=keys, moved=moved))
        _finish(_told_of(found), ok=not found.faults, as_json=as_json)
    if out is not None:
        _make(out, Parts(database=database, spool=spool, bucket=bucket, dump=dump), files, keep_days, as_json=as_json)


def _make(out: Path, wanted: Parts, files: KeyFiles, keep_days: int | None, *, as_json: bool) -> None:
    keep_for = None if keep_days is None else timedelta(days=keep_days)

    async def work(site: BackupContext) -> tuple[Backup, dict[str, Any]]:
        made = await make_backup(site, out=out, wanted=wanted, moved=moved)
        return made, await _pruned(site, out, keep_for=keep_for)

    with _ending(), _progress("objects copied") as moved:
        made, pruned = _with_site(work, files)
    ok = not made.manifest.left_out and "not_pruned" not in pruned
    _finish(_told_of_new(made) | pruned, ok=ok, as_json=as_json)


def restore(  # noqa: PLR0913  an option each
    folder: Annotated[
        Path, typer.Argument(metavar="BACKUP", help="A whole backup: a folder that has a manifest.json.")
    ],
    *,
    database: Database = True,
    spool: Spool = True,
    bucket: Bucket = True,
    embedded: Annotated[
        bool,
        typer.Option("--embedded", help="Into a new --data-dir, for `serve --embedded`; the servers run meanwhile."),
    ] = False,
    data_dir: DataDir = Path("data"),
    identity: IdentityFile = None,
    erasures_from: ErasuresFrom = None,
    as_json: AsJson = False,
) -> None:
    """Put a backup back while nothing of the vault runs: the objects that are not in the bucket, the spool where its folder has
    none, the database where it is empty. Nothing that stands anywhere is replaced. Single objects that are damaged in the backup are
    left out and named, with exit code 1.

    Erasures on request are done again: those of the bucket, of this backup and of newer ones. If the bucket is a new one, later erasures
    are not known, and the service shows no detection until `platevault reconcile --confirm-restore --accept-unknown-erasures`.

    Then start the service, and `platevault rebuild --yes`, `platevault reconcile --confirm-restore` (with
    --accept-unknown-erasures in a new bucket).
    """
    files = KeyFiles(identity=identity)
    wanted, more = Parts(database=database, spool=spool, bucket=bucket), tuple(erasures_from or ())

    def work(site: BackupContext) -> Awaitable[Restored]:
        return put_back(site, folder, wanted=wanted, erasures_from=more, moved=moved)

    with _ending(), _progress("objects put back") as moved:
        if embedded:
            with embedded_settings(data_dir) as (settings, admin):
                asyncio.run(make_embedded_bucket(settings, admin=admin))
                found = _with_site(work, files, backup_context_of(settings, files))
        else:
            found = _with_site(work, files)
    told = {"restored": str(folder), "counts": found.counts, "odd": found.odd}
    unknown = found.erasures_unknown_since
    if unknown and not as_json:
        typer.echo(
            f"platevault: erasures on request after {unknown} are in no backup that was read. {_NOT_SHOWN}", err=True
        )
    _finish(told | ({"erasures_unknown_since": unknown} if unknown else {}), ok=found.is_whole, as_json=as_json)


def _with_site(work: Callable[[BackupContext], Awaitable[T]], files: KeyFiles, given: BackupContext | None = None) -> T:
    async def run() -> T:
        site = given or backup_context_from_environment(files)
        try:
            return await work(site)
        finally:
            await site.job_context.objects.close()
            await site.job_context.database.close()

    return asyncio.run(run())


@contextmanager
def _ending() -> Iterator[None]:
    """What begins and does not come to its end is exit code 1."""
    try:
        yield
    except (Stopped, Unavailable, Corrupted) as error:
        typer.echo(f"platevault: {error}", err=True)
        raise typer.Exit(1) from error


@contextmanager
def _progress(what: str) -> Iterator[Moved]:
    console = Console(file=sys.stderr)
    columns = (SpinnerColumn(), TextColumn(what), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda count: progress.advance(task, count)


async def _pruned(site: BackupContext, folder: Path, *, keep_for: timedelta | None) -> dict[str, Any]:
    """Prune the folder. Returns the names of deleted backups, or the reason why none is deleted."""
    if keep_for is None:
        return {}
    try:
        done = await prune_after(site, folder, keep_for=keep_for)
    except Stopped as error:
        return {"not_pruned": str(error)}
    return {"pruned": done.gone} | ({"kept": done.kept} if done.kept else {})


def _told_of_new(made: Backup) -> dict[str, Any]:
    return {
        "backup": str(made.folder),
        "encrypted_to": made.manifest.recipients,
        "parts": made.manifest.parts,
        "left_out": made.manifest.left_out,
        "odd": made.odd,
    }


def _told_of(found: Verified) -> dict[str, Any]:
    return {
        "began_at": str(found.manifest.began_at),
        "verified": _EVERYTHING if found.is_read else _ONLY_DIGESTS,
        "parts": found.manifest.parts,
        "objects": found.objects,
        "dump_was_read": found.dump_was_read,
        "images": found.images,
        "faults": found.faults,
    }


def _finish(told: dict[str, Any], *, ok: bool, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"ok": ok, **told}, indent=2, default=str))
    else:
        for name, value in told.items():
            for line in _lines(name, value):
                typer.echo(line)
    if not ok:
        raise typer.Exit(1)


def _lines(name: str, value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for part, more in value.items():
            yield from _lines(f"{name} {part}", more)
    elif isinstance(value, list | tuple):
        for one in value:
            yield f"{name}: {one}"
    else:
        yield f"{name}: {value}"
