"""What an operator does with what is stored: the bucket, the spool, and the jobs that keep rows and objects in agreement."""

import typer

from platevault.cli import backup, bucket, retention, spool, variants
from platevault.cli import integrity as context

app = typer.Typer()
app.command("reconcile")(context.reconcile)
app.command("scrub")(context.scrub)
app.command("rebuild")(context.rebuild)
app.command("backup")(backup.backup)
app.command("restore")(backup.restore)
app.command("sweep")(context.sweep)
app.add_typer(retention.app, name="retention")
app.add_typer(bucket.app, name="bucket")
app.add_typer(spool.app, name="spool")
app.add_typer(variants.app, name="variants")
