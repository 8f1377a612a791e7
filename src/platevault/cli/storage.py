"""What an operator does with what is stored: the bucket, the spool, and the jobs that keep rows and objects in agreement."""

import typer

from platevault.cli import backup, bucket, integrity, retention, spool, variants

app = typer.Typer()
app.command("reconcile")(integrity.reconcile)
app.command("scrub")(integrity.scrub)
app.command("rebuild")(integrity.rebuild)
app.command("backup")(backup.backup)
app.command("restore")(backup.restore)
app.command("sweep")(integrity.sweep)
app.add_typer(retention.app, name="retention")
app.add_typer(bucket.app, name="bucket")
app.add_typer(spool.app, name="spool")
app.add_typer(variants.app, name="variants")
