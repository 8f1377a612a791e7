"""`platevault send`: the reference collector, for a folder of photographs."""

import asyncio
import json
import os
import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from platevault.collector.batch import SendTotals
from platevault.collector.send import Destination, SendOptions, SendProgress, journal_for
from platevault.collector.send import send as send_folder
from platevault.collector.time_zone import AssumedZone
from platevault.domain.errors import SettingsInvalid
from platevault.domain.object_keys import COLLECTOR_ID

PROBLEMS_SHOWN: Final = 50
CAMERA_MAX: Final = 128
INTERRUPTED: Final = 130

Source = Annotated[
    Path,
    typer.Argument(
        metavar="PATH",
        exists=True,
        help="A folder of images (with manifest.csv or manifest.jsonl in it, those that it names), or such a manifest.",
    ),
]
Token = Annotated[
    str | None, typer.Option(envvar="COLLECTOR_TOKEN", show_envvar=True, help="The collector's bearer token.")
]


Collector = Annotated[str, typer.Option(metavar="ID", help="Send as this collector.")]
Camera = Annotated[str, typer.Option(metavar="ID", help="Camera of images whose row names none.")]
Journal = Annotated[
    Path | None,
    typer.Option(
        dir_okay=False, help="What is acknowledged; PATH/.platevault-send.jsonl unless told, or under XDG_STATE_HOME."
    ),
]
GiveUpAfter = Annotated[
    float, typer.Option(metavar="SECONDS", min=0, help="Stop trying after so long without any success.")
]
TimeZone = Annotated[
    str | None,
    typer.Option(metavar="ZONE", help="Zone of EXIF times that name none, such as Europe/Berlin or +02:00."),
]


def send(  # noqa: PLR0913 - one argument an option
    path: Source,
    *,
    url: Annotated[str, typer.Option(help="Where the vault is, such as http://127.0.0.1:8000.")],
    token: Token = None,
    collector: Collector = "folder",
    camera: Camera = "camera-1",
    batch_size: Annotated[int, typer.Option(min=1, max=200, help="Detections in a batch.")] = 10,
    parallel: Annotated[int, typer.Option(min=1, max=16, help="Batches on their way at once.")] = 2,
    journal: Journal = None,
    again: Annotated[bool, typer.Option("--again", help="Send what was acknowledged before, too.")] = False,
    give_up_after: GiveUpAfter = 900,
    time_zone: TimeZone = None,
    as_json: Annotated[bool, typer.Option("--json", help="The summary for programs.")] = False,
) -> None:
    """Send photographs as detections, each with its plate crop, through outages and interruptions, none twice.

    A folder is sent without the folders inside it: its files that begin as images do and have such an ending, or none.

    A manifest has a header (or JSON objects, one a line) with file and, all optional: plate_x, plate_y, plate_w, plate_h
    (or x, y, width, height; in JSON also box), plate, camera, captured_at (with zone), region, confidence, detection_id.
    Without captured_at the time is the photograph's EXIF, else the file's. An EXIF time without OffsetTimeOriginal is in
    --time-zone, else in the zone of this machine; the summary counts such times.

    Exit code 0: the vault has everything. 1: it has not, and the list says what and why. Run it again to go on.
    """
    _check_names(collector, camera)
    journal = journal or journal_for(path, state_folder=_state_folder())
    manner = SendOptions(
        batch_size=batch_size,
        parallel=parallel,
        give_up_after=give_up_after,
        again=again,
        now=lambda: datetime.now(UTC),
        clock=time.monotonic,
        jitter=lambda: random.uniform(1.0, 1.3),  # noqa: S311  spreads retries, hides nothing
        zone=AssumedZone.parse(time_zone),
    )
    to = Destination(url=url, token=token, collector_id=collector, camera_id=camera)
    tally = SendTotals()
    interrupted = False
    try:
        with _watching() as watch:
            asyncio.run(send_folder(path, to=to, manner=manner, journal=journal, watch=watch, tally=tally))
    except KeyboardInterrupt:
        interrupted, tally.stopped = True, "interrupted: run it again to go on"
    tally.notes += _about_times(tally, manner.zone)
    _report(tally, journal=journal, as_json=as_json)
    if not tally.ok:
        raise typer.Exit(INTERRUPTED if interrupted else 1)


def _about_times(tally: SendTotals, zone: AssumedZone) -> list[str]:
    notes = []
    if number := tally.zones_assumed:
        counted = f"{number} photograph{' has' if number == 1 else 's have'} a time without a zone"
        notes.append(f"{counted}: taken as {zone}; --time-zone sets another one")
    if number := tally.times_doubted:
        counted = f"{number} photograph{' has' if number == 1 else 's have'} a time that is long past or ahead of the vault's clock"
        notes.append(f"{counted}: each is kept as it is, with `clock_suspect`")
    return notes


def _check_names(collector: str, camera: str) -> None:
    if COLLECTOR_ID.fullmatch(collector) is None:
        raise SettingsInvalid("--collector: 1-63 of A-Z a-z 0-9 . _ - and the first one alphanumeric")
    if not camera.isprintable() or not 0 < len(camera) <= CAMERA_MAX:
        raise SettingsInvalid(f"--camera: 1-{CAMERA_MAX} printable characters")


@contextmanager
def _watching() -> Iterator[SendProgress]:
    """A progress bar on a terminal; elsewhere only why it waits, once for each reason."""
    console = Console(stderr=True)
    told: set[str] = set()

    def waiting(why: str, seconds: float) -> None:
        if why not in told:
            told.add(why)
            console.print(
                f"waiting {seconds:.0f} s: {why}", style="yellow", markup=False, highlight=False, soft_wrap=True
            )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("sending", total=None)
        yield SendProgress(
            begun=lambda total: progress.update(task, total=total),
            moved=lambda count: progress.advance(task, count),
            waiting=waiting,
        )


def _report(tally: SendTotals, *, journal: Path, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(_as_dict(tally, journal), indent=2))
    else:
        for line in _lines(tally, journal):
            typer.echo(line)
        for title, sentences in (("note", tally.notes), ("problem", tally.problems)):
            for sentence in sentences[:PROBLEMS_SHOWN]:
                typer.echo(f"{title}: {_printable(sentence)}", err=True)
            if len(sentences) > PROBLEMS_SHOWN:
                typer.echo(f"{title}: and {len(sentences) - PROBLEMS_SHOWN} more; --json has them all", err=True)
    if tally.stopped is not None:
        print(f"platevault: {tally.stopped}", file=sys.stderr)


def _printable(text: str) -> str:
    """A file name may hold a line end or a terminal's commands: show them as escapes."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def _lines(tally: SendTotals, journal: Path) -> Iterator[str]:
    outcomes, images = tally.outcomes, tally.images
    counted = [f"{outcomes[name]} {name}" for name in ("created", "duplicate", "conflict", "refused")]
    yield f"detections: {', '.join(counted)}; {outcomes['skipped']} skipped (acknowledged before; --again sends them)"
    others = {
        "set aside": outcomes["set_aside"],
        "unusable": outcomes["unusable"],
        "repeated": outcomes["repeated"],
        "unanswered": outcomes["unanswered"],
        "not sent": tally.unsent,
    }
    if any(others.values()):
        yield "            " + ", ".join(f"{count} {name}" for name, count in others.items() if count)
    shown = [f"{images[name]} {name}" for name in ("pending", "stored", "rejected")]
    shown += [
        f"{count} {name}" for name, count in sorted(images.items()) if name not in {"pending", "stored", "rejected"}
    ]
    yield f"images:     {', '.join(shown)}"
    yield f"sent:       {tally.image_bytes:,} bytes of images in {tally.seconds:.1f} seconds"
    yield f"journal:    {journal} (acknowledged detections)"


def _as_dict(tally: SendTotals, journal: Path) -> dict[str, Any]:
    named = (
        "created",
        "duplicate",
        "conflict",
        "refused",
        "skipped",
        "set_aside",
        "unusable",
        "repeated",
        "unanswered",
    )
    return {
        "ok": tally.ok,
        "found": tally.found,
        "detections": {name: tally.outcomes[name] for name in named} | {"unsent": tally.unsent},
        "images": dict.fromkeys(("pending", "stored", "rejected"), 0) | dict(tally.images),
        "replayed_batches": tally.replayed_batches,
        "bytes": tally.image_bytes,
        "seconds": round(tally.seconds, 3),
        "journal": str(journal),
        "set_aside": tally.set_aside,
        "problems": tally.problems,
        "zones_assumed": tally.zones_assumed,
        "times_doubted": tally.times_doubted,
        "notes": tally.notes,
        "stopped": tally.stopped,
    }


def _state_folder() -> Path:
    given = os.environ.get("XDG_STATE_HOME", "")
    return Path(given) if Path(given).is_absolute() else Path.home() / ".local" / "state"
