"""`platevault spool list|retry|drain|lost`: the spool of this node, and nodes that are gone."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, TypeVar
from uuid import UUID

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from platevault.app.open import open_vault
from platevault.ingest.context import IngestContext
from platevault.logs import log_to_standard_error
from platevault.operations.declare_node_lost import declare_node_lost
from platevault.operations.drain_spool import drain_spool
from platevault.operations.spool_status import SpoolReport, retry_dead_letters, spool_status
from platevault.settings import read_settings

app = typer.Typer(
    no_args_is_help=True, help="This node's spool: what waits, what was set aside, and nodes that are gone."
)

AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]
Answer = TypeVar("Answer")


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """Show what waits in the spool of this node, its dead letters with their reasons, and all nodes of this vault."""
    report = _with_reception(spool_status)
    if as_json:
        _print_json(report)
    else:
        typer.echo("\n".join(_sentences(report)))


@app.command()
def retry(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Detection ids, or files that were set aside.")
    ] = None,
    *,
    all_: Annotated[bool, typer.Option("--all", help="All dead letters of this node.")] = False,
    as_json: AsJson = False,
) -> None:
    """Try dead letters again: they are due now, and whoever drains this node takes them up."""
    if bool(names) == all_:
        raise typer.BadParameter("name some, or say --all")
    count = _with_reception(
        lambda ingest_context: retry_dead_letters(None if all_ else names, uploader=ingest_context.uploader)
    )
    if as_json:
        _print_json({"retried": count})
    else:
        typer.echo(f"{count} due again")


@app.command()
def drain(
    *,
    wait: Annotated[bool, typer.Option("--wait", help="Go on until nothing waits any more.")] = False,
    as_json: AsJson = False,
) -> None:
    """Bring what waits here into the object store now. Before a node is retired: stop its service, then `drain --wait`.

    Exit code 1 when something is left. Dead letters stay: see `platevault spool list`.
    """
    with _progress() as show:
        left = _with_reception(lambda ingest_context: drain_spool(ingest_context, wait=wait, show=show))
    if as_json:
        _print_json({"left": left})
    else:
        typer.echo("the spool is empty" if not left else f"{left} still wait: the log and /readyz say why")
    if left:
        raise typer.Exit(1)


@app.command()
def lost(
    node: Annotated[UUID, typer.Argument(metavar="NODE", help="Its id, as `spool list` shows it.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without this it only counts.")] = False,
    as_json: AsJson = False,
) -> None:
    """Declare a node gone for good: images that waited in its spool become `missing`, and GET /v1/resend lists them.

    A node that comes back after all is found again, with what its spool still holds.
    """
    count = _with_reception(lambda ingest_context: declare_node_lost(ingest_context, node_id=node, really=yes))
    if as_json:
        _print_json({"node": str(node), "images": count, "declared_lost": yes})
    elif yes:
        typer.echo(f"{count} images are missing now: their collectors find them under GET /v1/resend")
    else:
        typer.echo(f"{count} images would be missing; nothing was changed, --yes does it")


def _with_reception(work: Callable[[IngestContext], Awaitable[Answer]]) -> Answer:
    log_to_standard_error()

    async def run() -> Answer:
        vault = open_vault(read_settings())
        try:
            return await work(vault.ingest_context)
        finally:
            await vault.stop()

    return asyncio.run(run())


@contextmanager
def _progress() -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, nothing elsewhere; it is told how many are left."""
    columns = (TextColumn("draining"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("drain", total=None)
        most = 0

        def show(left: int) -> None:
            nonlocal most
            most = max(most, left)
            progress.update(task, total=max(1, most), completed=most - left)

        yield show


def _sentences(report: SpoolReport) -> Iterator[str]:
    yield f"node {report.node_id}"
    yield f"  {report.used_bytes:,} of {report.max_bytes:,} bytes, {report.ready_files} files, {report.waiting} images wait"
    yield f"  dead/: {report.dead_bytes:,} of {report.dead_max_bytes:,} bytes, {report.dead} images, {len(report.set_aside)} files"
    for letter in report.dead_letters:
        yield f"    {letter.detection_id} {letter.kind}, since {letter.dead_at:%Y-%m-%d %H:%M} UTC: {letter.why}"
    for file in report.set_aside:
        yield f"    {file.file}, {file.size:,} bytes: {file.reason}"
    yield "nodes"
    for node in report.nodes:
        seen = "never seen" if node.silent_seconds is None else f"seen {node.silent_seconds:.0f} s ago"
        lost = f", declared lost {node.lost_at:%Y-%m-%d %H:%M} UTC" if node.lost_at else ""
        yield f"  {node.node_id} {node.host}: {seen}, {node.pending} images wait there{lost}"


def _print_json(value: Any) -> None:
    typer.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
