"""`platevault export`: what a search finds, with its images, into zip files here."""

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import DownloadColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TransferSpeedColumn

from platevault.collector.download_export import DownloadedExport, DownloadPatience, DownloadProgress, Origin
from platevault.collector.download_export import download_export as fetch
from platevault.domain.errors import SettingsInvalid
from platevault.export.request import EXPORT_DETECTIONS_MAX, INCOMPLETE, Outcome

INTERRUPTED: Final = 130
PART_DETECTIONS: Final = 10_000
MOMENT: Final = "RFC 3339 with a zone: 2025-01-15T10:30:00Z."

Token = Annotated[str | None, typer.Option(envvar="VIEWER_TOKEN", show_envvar=True, help="The viewer's bearer token.")]
Out = Annotated[Path, typer.Option(dir_okay=False, metavar="FILE.zip", help="The first archive; others get -2, -3.")]
Purpose = Annotated[str | None, typer.Option(help="Why; it is written to the access log and into the archive.")]
From = Annotated[str | None, typer.Option("--from", metavar="TIME", help=f"Captured at or after. {MOMENT}")]
To = Annotated[str | None, typer.Option("--to", metavar="TIME", help="Captured before.")]
Filter = Annotated[str | None, typer.Option(help="Only these.")]
Sure = Annotated[float | None, typer.Option(min=0, max=1, help="At least this sure.")]
Data = Annotated[list[str] | None, typer.Option(metavar="PATH=TEXT", help="What `data` holds; may be repeated.")]
PartSize = Annotated[int, typer.Option("--part", min=1, max=EXPORT_DETECTIONS_MAX, help="Detections in one archive.")]
GiveUpAfter = Annotated[
    float, typer.Option(metavar="SECONDS", min=0, help="Stop trying after so long without any success.")
]


def export(  # noqa: PLR0913 - one argument an option
    *,
    url: Annotated[str, typer.Option(help="Where the vault is, such as http://127.0.0.1:8000.")],
    out: Out,
    token: Token = None,
    purpose: Purpose = None,
    case: Annotated[str | None, typer.Option(help="The case that it belongs to.")] = None,
    captured_from: From = None,
    captured_before: To = None,
    camera: Filter = None,
    collector: Filter = None,
    plate: Annotated[str | None, typer.Option(help="Exact, or with * and ?.")] = None,
    min_confidence: Sure = None,
    data: Data = None,
    part_size: PartSize = PART_DETECTIONS,
    give_up_after: GiveUpAfter = 900,
    as_json: Annotated[bool, typer.Option("--json", help="The summary for programs.")] = False,
) -> None:
    """Export what a search finds: each image under its key, manifest.json, detections.csv and README.txt in each archive.

    Every archive is read again and each image held against its SHA-256 before it gets its name. An archive that is there is
    not fetched again: run the same command once more to go on after an interruption.

    Exit code 0: all is there that can be. 1: the list says what is not: more detections, or images that another export may have.
    """
    filters = {
        "from": captured_from,
        "to": captured_before,
        "camera_id": camera,
        "collector_id": collector,
        "plate": plate,
        "min_confidence": min_confidence,
        "data": [_condition(text) for text in data] if data else None,
    }
    asked = {name: value for name, value in filters.items() if value is not None}
    why = {name: text for name, text in (("X-Purpose", purpose), ("X-Case", case)) if text}

    origin = Origin(url=url, token=token, why=why)
    patience = DownloadPatience(give_up_after=give_up_after, clock=time.monotonic)
    try:
        with _watching() as watch:
            fetched = asyncio.run(
                fetch(asked, part_size=part_size, out=out, origin=origin, patience=patience, watch=watch)
            )
    except KeyboardInterrupt:
        print("platevault: interrupted: run it again to go on", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
    _report(fetched, as_json=as_json)
    if fetched.stopped is not None or any(fetched.counts[outcome] for outcome in INCOMPLETE):
        raise typer.Exit(1)


def _condition(text: str) -> dict[str, str]:
    path, found, value = text.partition("=")
    if not found:
        raise SettingsInvalid(f"--data: looks like speed.zone=30, not {text!r}")
    return {"path": path, "op": "text", "value": value}


@contextmanager
def _watching() -> Iterator[DownloadProgress]:
    """A progress line on a terminal; elsewhere only why it waits, once for each reason."""
    console = Console(stderr=True)
    told: set[str] = set()

    def waiting(why: str, seconds: float) -> None:
        if why not in told:
            told.add(why)
            console.print(
                f"waiting {seconds:.0f} s: {why}", style="yellow", markup=False, highlight=False, soft_wrap=True
            )

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("export", total=None)
        yield DownloadProgress(
            begun=lambda path: progress.update(task, description=path.name),
            moved=lambda count: progress.advance(task, count),
            waiting=waiting,
        )


def _report(fetched: DownloadedExport, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(_as_dict(fetched), indent=2))
    else:
        for line in _lines(fetched):
            typer.echo(line)
    if fetched.stopped is not None:
        print(f"platevault: not all is here: {fetched.stopped}; run it again to go on", file=sys.stderr)


def _lines(fetched: DownloadedExport) -> Iterator[str]:
    counts = fetched.counts
    for part in fetched.parts:
        yield f"{part.path}: {part.counts['detections']} detections"
    if fetched.found:
        yield f"{fetched.found} of these were there before"
    yield f"detections: {counts['detections']}"
    others = [
        f"{counts[outcome]} {outcome}" for outcome in Outcome if counts[outcome] and outcome is not Outcome.INCLUDED
    ]
    included = f"{counts[Outcome.INCLUDED]} included ({counts['bytes']:,} bytes)"
    yield f"images:     {', '.join([included, *others])}"


def _as_dict(fetched: DownloadedExport) -> dict[str, Any]:
    counts = fetched.counts
    return {
        "ok": fetched.stopped is None and not any(counts[outcome] for outcome in INCOMPLETE),
        "complete": fetched.stopped is None,
        "parts": [{"file": str(part.path), **part.counts} for part in fetched.parts],
        "found_before": fetched.found,
        "counts": {name: counts[name] for name in ("detections", *Outcome, "bytes")},
        "stopped": fetched.stopped,
    }
