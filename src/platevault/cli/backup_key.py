"""`platevault backup-key new|decrypt`: the key pair of encrypted backups, for machines without the age tool."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from platevault.app.commands import backup_keys_from_environment
from platevault.backup.keys import KeyFiles, decrypt_file, write_new_key
from platevault.domain.errors import Corrupted

app = typer.Typer(no_args_is_help=True, help="Make the key pair of encrypted backups, or decrypt one file of a backup.")


@app.command()
def new(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file for the secret key.")],
) -> None:
    """Write a new secret key to FILE, readable by its owner alone, and print its recipient for BACKUP_RECIPIENT.

    Keep FILE in two places that are not this machine. Without it no encrypted backup can be read.
    """
    typer.echo(write_new_key(file))


@app.command()
def decrypt(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An encrypted file of a backup: database.dump.age.")],
    *,
    identity: Annotated[
        Path | None, typer.Option("--identity", metavar="FILE", help="The secret key, for BACKUP_IDENTITY_FILE.")
    ] = None,
) -> None:
    """Write the decrypted file to standard output, as for pg_restore by hand. Exit code 1 for a file that was changed or cut."""
    try:
        decrypt_file(file, sys.stdout.buffer, keys=backup_keys_from_environment(KeyFiles(identity=identity)))
    except Corrupted as error:
        typer.echo(f"platevault: {file}: {error}", err=True)
        raise typer.Exit(1) from error
