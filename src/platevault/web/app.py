"""The web app around one vault: its routes, what goes around them, and its start and stop."""

import gc
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Final

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.staticfiles import StaticFiles

from platevault.app.commands import vault_from_environment
from platevault.app.vault import Vault
from platevault.logs import start_in_log
from platevault.web import problems
from platevault.web.dependencies import DOOR, VAULT
from platevault.web.document import DESCRIPTION, LICENSE, describe, servers
from platevault.web.middleware import RequestMiddleware, SmallBodyLimit
from platevault.web.route import Route, add_routes
from platevault.web.routes import ROUTES
from platevault.web.server.overload import BatchRefusals, LoadShedding

STATIC: Final = Path(__file__).parent / "static"


def build() -> FastAPI:
    """The app as the environment's settings want it; the factory that uvicorn calls."""
    with start_in_log("service cannot start"):
        vault = vault_from_environment()
    return build_app(vault)


def build_app(vault: Vault, *, routes: Sequence[Route] = ROUTES) -> FastAPI:
    """The app around this vault, which it starts and stops."""
    app = FastAPI(
        title="Platevault",
        version=version("platevault"),
        description=DESCRIPTION,
        license_info=LICENSE,
        servers=servers(vault.public_url),
        docs_url=None,
        redoc_url=None,
        lifespan=_while_running,
    )
    app.state.vault, app.state.door = vault, BatchRefusals(vault)
    app.add_middleware(SmallBodyLimit)
    app.add_middleware(RequestMiddleware, vault=vault)
    if vault.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=vault.cors_origins,
            allow_methods=["GET", "HEAD", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-Purpose", "X-Case", "X-Request-Id"],
            expose_headers=["X-Image-State", "Retry-After", "X-Request-Id", "Idempotent-Replayed"],
            max_age=600,
        )
    app.add_middleware(LoadShedding, door=app.state.door)
    problems.install(app)
    add_routes(app, routes)
    app.mount("/static", StaticFiles(directory=STATIC))
    describe(app)
    return app


@asynccontextmanager
async def _while_running(app: FastAPI) -> AsyncIterator[dict[str, Vault | BatchRefusals]]:
    vault: Vault = app.state.vault
    await vault.start()
    # What was made up to here stays for good: to look through it again and again would stop all requests for a tenth of a second.
    gc.collect()
    gc.freeze()
    # Batches make many objects and few cycles: the usual thresholds look for them at every other request.
    gc.set_threshold(20_000, 20, 20)
    door: BatchRefusals = app.state.door
    try:
        yield {VAULT: vault, DOOR: door}  # for the server's connections, which no request is around
    finally:
        door.say()
        await vault.stop()
