"""`platevault reconcile`, `scrub` and `rebuild`: rows and objects, brought to agree again. Dry runs unless told `--yes`."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import timedelta
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from platevault.app.commands import job_context_from_environment
from platevault.domain.errors import Stopped
from platevault.integrity.rebuild import rebuild as make_rows
from platevault.integrity.reconcile import reconcile as hold_against
from platevault.integrity.scrub import BYTES_MOST, RUNS_A_ROUND
from platevault.integrity.scrub import scrub as read_again
from platevault.jobs.report import ACTIONS_MOST, JobRun
from platevault.jobs.run import JobContext
from platevault.retention.erasures.confirm import confirm_after_erasures
from platevault.retention.sweep import MORE
from platevault.retention.sweep import sweep as forget

T = TypeVar("T")

Yes = Annotated[bool, typer.Option("--yes/--dry-run", help="Act; without it nothing is changed.")]
Most = Annotated[
    int, typer.Option(min=1, help="Actions of each kind in one run; a run that needs more stops and says so.")
]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]


def reconcile(
    yes: Yes = False,
    most: Most = ACTIONS_MOST,
    older_than: Annotated[
        float,
        # A century at most: a date before the year 1 does not exist.
        typer.Option(
            "--older-than", metavar="HOURS", min=0, max=876_000, help="Objects without a row count from this age on."
        ),
    ] = 24.0,
    confirm: Annotated[
        bool, typer.Option("--confirm-restore", help="The database as it is now counts, and nothing else is done.")
    ] = False,
    accept: Annotated[
        bool,
        typer.Option(
            "--accept-unknown-erasures",
            help="With --confirm-restore: erasures on request since the backup are lost, and what they erased is shown again.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Hold rows against objects. With --yes: rows without object become `missing` (or `stored` again when it is back), objects
    without row go to quarantine/orphans/, objects of expired and deleted images are deleted.

    Exit code 0 when the run came to its end, 1 when it stopped: at its limit, because the database is older than the bucket
    has seen (a restored dump: see `platevault rebuild`), or because the object store did not answer.
    """
    if confirm:
        _confirm(accept_unknown=accept, as_json=as_json)
        return
    _finish(
        with_job_context(
            lambda context: hold_against(context, act=yes, most=most, older_than=timedelta(hours=older_than))
        ),
        as_json=as_json,
    )


def _confirm(*, accept_unknown: bool, as_json: bool) -> None:
    try:
        found, compared = with_job_context(
            lambda context: confirm_after_erasures(context, accept_unknown=accept_unknown)
        )
    except Stopped as error:
        typer.echo(f"platevault: {error}", err=True)
        raise typer.Exit(1) from error
    if as_json:
        typer.echo(json.dumps({"generation": found.database, **compared.counts}))
        return
    for what, count in compared.counts.items():
        typer.echo(f"{count:>10}  {what}")
    typer.echo(f"generation {found.database}, confirmed")


def scrub(
    yes: Yes = False,
    most: Most = ACTIONS_MOST,
    share: Annotated[
        int,
        typer.Option(
            "--share", metavar="N", min=1, help="Read one Nth of the stored images; 1 reads on to the last one."
        ),
    ] = RUNS_A_ROUND,
    bytes_most: Annotated[
        int, typer.Option("--bytes", min=1, help="And no more than so many bytes in this run.")
    ] = BYTES_MOST,
    as_json: AsJson = False,
) -> None:
    """Read stored images again and compare their digests, from where the run before ended. With --yes: wrong bytes are copied to
    quarantine/scrub/ and their row becomes `missing`, so that a re-sent batch heals it; what reports found wrong comes first.
    """
    _finish(
        with_job_context(
            lambda context: read_again(context, act=yes, most=most, runs_a_round=share, bytes_most=bytes_most)
        ),
        as_json=as_json,
    )


def rebuild(
    yes: Yes = False,
    trust_metadata: Annotated[
        bool, typer.Option("--trust-metadata", help="Do not read each object to hash it; much faster.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Find objects without row and, with --yes, make their rows from what the objects say of themselves: ids, times, camera,
    batch, retention, digests, holds. Plates come only from a dump. Rows that are there stay; it can be run again at any time.
    """
    console = Console(file=sys.stderr)
    columns = (SpinnerColumn(), TextColumn("objects"), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("objects", total=None)
        run = with_job_context(
            lambda context: make_rows(
                context, act=yes, trust_metadata=trust_metadata, moved=lambda count: progress.advance(task, count)
            )
        )
    _finish(run, as_json=as_json)


def sweep(
    yes: Yes = False,
    allow: Annotated[
        int | None,
        typer.Option(
            "--allow", metavar="N", min=1, help="Let N detections be erased in 24 hours, where the limit is less."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Forget what is past its retention and not held: rows become tombstones, then bytes go. The worker does it every hour; without
    --yes this counts what is due, and changes nothing.

    In 24 hours all sweeps together erase at most 10 % of the living detections or 10,000, whichever is more. Exit code 1 when the run stopped:
    at that limit, at a clock in doubt (see `platevault doctor`), or because the database is older than the bucket has seen.
    """
    _finish(with_job_context(lambda context: _sweep(context, act=yes, allow=allow)), as_json=as_json)


async def _sweep(context: JobContext, *, act: bool, allow: int | None) -> JobRun:
    assert context.retention is not None, "the wiring gives it"
    while True:
        run = await forget(context, default=context.retention, act=act, allow=allow)
        if not run.findings.get(MORE):
            return run


def with_job_context(work: Callable[[JobContext], Awaitable[T]]) -> T:
    """What `work` returns, called with the stores of the environment, which are closed afterwards."""

    async def run() -> T:
        context = job_context_from_environment()
        try:
            return await work(context)
        finally:
            await context.objects.close()
            await context.database.close()

    return asyncio.run(run())


def _finish(run: JobRun, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(asdict(run), indent=2, default=str))
    else:
        for sentence in _sentences(run):
            typer.echo(sentence)
    if run.outcome != "done":
        raise typer.Exit(1)


def _sentences(run: JobRun) -> list[str]:
    lines = [f"{run.job}: {run.outcome}{' (dry run: nothing was changed)' if run.dry_run else ''}"]
    lines += [f"{count:>10}  {what}" for what, count in run.counts.items()]
    for what, keys in run.findings.get("examples", {}).items():
        lines += [f"  {what}: {key}" for key in keys]
    lines += [f"{title}: {run.findings[title]}" for title in ("marker", "clock", "reason") if title in run.findings]
    return lines
