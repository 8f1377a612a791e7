"""`platevault demo`: everything on this machine, with drawn street scenes coming in."""

import asyncio
import os
import socket
import sys
import webbrowser
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr

from platevault.app.commands import feed_demo
from platevault.cli.serve import embedded_environment, run
from platevault.settings import Settings, read_settings

TRICKLE_EVERY = timedelta(seconds=4)


def demo(
    data_dir: Annotated[Path, typer.Option(help="Where everything is kept.")] = Path("data/demo"),
    port: Annotated[int, typer.Option(help="Port of the web page; the next free one when it is taken.")] = 8000,
    backlog: Annotated[int, typer.Option(help="Detections to send at the start when there are none yet.")] = 60,
    trickle: Annotated[bool, typer.Option(help="Keep detections coming.")] = True,
    open_page: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in a browser where there is one.")
    ] = True,
) -> None:
    """Start PostgreSQL and an S3 server, serve, and feed the vault with drawn street scenes. Ctrl-C ends it; the data stays."""
    os.environ.setdefault("LOG_LEVEL", "warning")  # somebody watches this terminal
    with embedded_environment(data_dir, host="127.0.0.1", port=_free_from(port)):
        settings = read_settings(env_file=None, platevault_embedded=True)
        run(settings, beside=_feed(settings, backlog=backlog, trickle=trickle, open_page=open_page))


async def _feed(settings: Settings, *, backlog: int, trickle: bool, open_page: bool) -> None:
    url = f"http://127.0.0.1:{settings.port}"
    typer.echo(f"\n  Platevault is at {url}\n  Ctrl-C ends it; the data stays.\n", err=True)
    if open_page and _has_browser():
        await asyncio.to_thread(webbrowser.open, url)
    await feed_demo(
        url,
        tokens=(_plain(settings.collector_token), _plain(settings.viewer_token)),
        backlog=backlog,
        every=TRICKLE_EVERY if trickle else None,
        now=lambda: datetime.now(UTC),
    )


def _plain(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def _has_browser() -> bool:
    return sys.platform == "darwin" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _free_from(port: int) -> int:
    for candidate in range(port, port + 20):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", candidate))
            except OSError:
                continue
            return candidate
    return port
