"""`platevault retention set|remove|list|report`: how long what is kept, and whether it really goes then."""

import json
import sys
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from platevault.cli.integrity import AsJson, Yes, with_job_context
from platevault.domain.errors import InvalidRequest
from platevault.domain.retention_policy import Retention, RetentionClass
from platevault.jobs.run import JobContext
from platevault.retention.report import CameraReport, RetentionReport, report_retention
from platevault.retention.set_class import ClassChange, list_classes, set_retention_class

app = typer.Typer(no_args_is_help=True, help="How long images are kept, by collector and camera.")

Collector = Annotated[str, typer.Option("--collector", help="Collectors; * is any text, ? one character.")]
CameraNames = Annotated[str, typer.Option("--camera", help="Cameras, in the same way.")]


@app.command("set")
def set_(
    *,
    collector: Collector = "*",
    camera: CameraNames = "*",
    days: Annotated[int | None, typer.Option("--days", min=1, help="From the capture on.")] = None,
    never_ends: Annotated[bool, typer.Option("--never-ends", help="Keep for ever.")] = False,
    position: Annotated[
        int, typer.Option("--position", min=0, help="Its place among the classes; 0: where it stands, or last.")
    ] = 0,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Write a retention class; the first one that matches a camera holds, IMAGE_RETENTION_DAYS where none does.

    A shorter class reaches what is kept already: what is past it goes with the next sweep. A longer one is for new detections, and is
    written only when the bucket's own rule was raised and read back. Without --yes nothing is changed, only counted.
    """
    if never_ends is (days is not None):
        raise InvalidRequest("give either --days or --never-ends")
    wanted = RetentionClass(position=position, collector=collector, camera=camera, days=days)
    _finish(_change(wanted, at=(collector, camera), act=yes), as_json=as_json)


@app.command()
def remove(*, collector: Collector, camera: CameraNames, yes: Yes = False, as_json: AsJson = False) -> None:
    """Take away the class with exactly these patterns; what comes after it holds then, as if it had been set."""
    _finish(_change(None, at=(collector, camera), act=yes), as_json=as_json)


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """The classes, in the order in which they are asked."""
    found = with_job_context(lambda context: list_classes(context, default=_default(context)))
    if as_json:
        typer.echo(json.dumps({**found, "classes": [asdict(one) for one in found["classes"]]}, indent=2, default=str))
        return
    for one in found["classes"]:
        typer.echo(_in_words(one))
    typer.echo(f"{'':>4}  all others  {found['default_days']} days (IMAGE_RETENTION_DAYS)")


@app.command()
def report(as_json: AsJson = False) -> None:
    """The oldest kept image of each camera against its class. Exit code 1 when something is kept longer than it may be."""
    found = with_job_context(lambda context: report_retention(context, default=_default(context)))
    if as_json:
        typer.echo(json.dumps(_as_dict(found), indent=2, default=str))
    else:
        for sentence in _sentences(found):
            typer.echo(sentence)
    if found.overdue:
        raise typer.Exit(1)


def _default(context: JobContext) -> Retention:
    assert context.retention is not None, "the wiring gives it"
    return context.retention


def _change(wanted: RetentionClass | None, *, at: tuple[str, str], act: bool) -> ClassChange:
    console = Console(file=sys.stderr)
    columns = (SpinnerColumn(), TextColumn("kept shorter"), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("kept shorter", total=None)
        return with_job_context(
            lambda context: set_retention_class(
                context,
                wanted,
                at=at,
                default=_default(context),
                act=act,
                moved=lambda count: progress.advance(task, count),
            )
        )


def _finish(change: ClassChange, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(asdict(change), indent=2, default=str))
        return
    for one in change.after:
        typer.echo(_in_words(one))
    would = "would be" if change.dry_run else "are"
    typer.echo(f"{change.shortened} kept detections {would} kept for shorter, {change.due} of them are due by it")
    for sentence in change.bucket:
        typer.echo(f"bucket: {sentence}")
    if change.dry_run:
        typer.echo("dry run: nothing was changed; --yes does it")


def _in_words(one: RetentionClass) -> str:
    lasts = "never ends" if one.days is None else f"{one.days} days"
    return f"{one.position:>4}  {one.collector}  {one.camera}  {lasts}"


def _as_dict(found: RetentionReport) -> dict[str, Any]:
    records = [{**asdict(one), "ids_digest": one.ids_digest.hex()} for one in found.purges]
    swept = None if found.last_sweep is None else asdict(found.last_sweep)
    return {"cameras": [asdict(one) for one in found.cameras], "last_sweep": swept, "purges": records}


def _sentences(found: RetentionReport) -> list[str]:
    last = found.last_sweep
    lines = ["no sweep came to its end yet" if last is None else f"last sweep: {last.ended_at:%Y-%m-%d %H:%M} UTC"]
    lines += [_of_camera(one) for one in found.cameras]
    lines += [
        f"purged {one.started_at:%Y-%m-%d %H:%M}: {one.detections} detections, {one.images} images, sha256 {one.ids_digest.hex()}"
        for one in found.purges
    ]
    return lines


def _of_camera(one: CameraReport) -> str:
    lasts = "never ends" if one.days is None else f"{one.days} days"
    oldest = "nothing kept" if one.oldest_captured_at is None else f"oldest {one.oldest_captured_at:%Y-%m-%d %H:%M}"
    notes = [f"{one.held} held"] if one.held else []
    notes += [f"{one.doubtful} with a doubtful clock"] if one.doubtful else []
    notes += [f"{one.due} due"] if one.due else []
    notes += ["OVERDUE"] if one.overdue else []
    return ", ".join([f"{one.collector}  {one.camera}  {lasts}", oldest, *notes])
