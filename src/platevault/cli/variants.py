"""`platevault variants rebuild`: named pictures of stored images, made again after IMAGE_VARIANTS was changed."""

import asyncio
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from platevault.app.commands import rendition_context_from_environment
from platevault.jobs.report import JobRun
from platevault.renditions.context import RenditionContext
from platevault.renditions.rebuild import rebuild_variants
from platevault.renditions.variants import Variant

app = typer.Typer(help="Named pictures made of each image (IMAGE_VARIANTS).")


@app.callback()
def _group() -> None:
    """A group, though it has one command."""


@app.command("rebuild")
def rebuild(
    variant: Annotated[str | None, typer.Option("--variant", metavar="NAME", help="This one alone.")] = None,
    yes: Annotated[bool, typer.Option("--yes/--dry-run", help="Make them; without it they are counted.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Make the named variants of all stored images that lack them in their present form: after a change of IMAGE_VARIANTS, or to have
    them before anybody asks. What is there is left, so that a run which was ended goes on where it was. It disturbs nobody but by load.

    Exit code 0 when it came to its end, 1 when store or database did not answer: run it again.
    """
    console = Console(file=sys.stderr)
    columns = (SpinnerColumn(), TextColumn("images"), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("images", total=None)
        run = asyncio.run(_rebuild(variant, act=yes, moved=lambda count: progress.advance(task, count)))
    if as_json:
        typer.echo(json.dumps(asdict(run), indent=2, default=str))
    else:
        typer.echo(f"{run.job}: {run.outcome}{' (dry run: nothing was made)' if run.dry_run else ''}")
        for what, count in run.counts.items():
            typer.echo(f"{count:>10}  {what}")
        for name in run.findings.get("examples", {}).get("failed", ()):
            typer.echo(f"  failed: {name}")
        if "reason" in run.findings:
            typer.echo(f"reason: {run.findings['reason']}")
    if run.outcome != "done":
        raise typer.Exit(1)


async def _rebuild(variant: str | None, *, act: bool, moved: Callable[[int], None]) -> JobRun:
    context = rendition_context_from_environment()
    try:
        return await rebuild_variants(context, variants=_chosen(context, variant), act=act, moved=moved)
    finally:
        await context.close()
        await context.objects.close()
        await context.database.close()


def _chosen(context: RenditionContext, name: str | None) -> tuple[Variant, ...]:
    known = {variant.name: variant for variant in context.variants.each}
    if name is None:
        return tuple(known.values())
    if name not in known:
        raise typer.BadParameter(f"IMAGE_VARIANTS has no {name}; it has {', '.join(known) or 'none'}")
    return (known[name],)
