"""`platevault image explain`: why one image is not in the bucket."""

import asyncio
import sys
from collections.abc import Mapping
from typing import Annotated

import msgspec
import typer

from platevault.app.open import open_database
from platevault.delivery.explain import explain_images
from platevault.domain.image_delivery import ImageDelivery
from platevault.logs import log_to_standard_error
from platevault.settings import Settings, read_settings

app = typer.Typer(no_args_is_help=True, help="Single images.")


@app.callback()
def _root() -> None:
    """Single images."""


@app.command()
def explain(
    detection: Annotated[str, typer.Argument(metavar="DETECTION", help="The id of the detection.")],
    kind: Annotated[
        str | None, typer.Argument(metavar="[KIND]", help="`full`, `crop`, …; all of them without it.")
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Say of each image of a detection whether it is in the bucket, and if not, why, and what to do."""
    log_to_standard_error()
    found = asyncio.run(_explained(read_settings(), detection, kind))
    if as_json:
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
        return
    for name, image in found.items():
        typer.echo(f"{name}: {image.state.value}. {image.explanation}")
        if image.next_try_at is not None:
            typer.echo(f"  next_try_at: {image.next_try_at.isoformat(timespec='seconds')}")


async def _explained(settings: Settings, detection: str, kind: str | None) -> Mapping[str, ImageDelivery]:
    database = open_database(settings)
    try:
        return await explain_images(detection, kind=kind, database=database)
    finally:
        await database.close()
