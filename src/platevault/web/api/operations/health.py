"""Liveness and readiness, for process managers and load balancers."""

from fastapi.responses import JSONResponse

from platevault.app.vault import Vault
from platevault.operations.readiness import Readiness, readiness
from platevault.web.dependencies import Wired

RESERVE_BYTES = 1024 * 1024


async def get_health() -> JSONResponse:
    """Answer while this process is alive, whatever the state of its dependencies."""
    return JSONResponse({"status": "ok"}, headers={"Cache-Control": "no-store"})


async def get_readiness(vault: Wired) -> JSONResponse:
    """Check the dependencies. 200: this process can acknowledge a batch. 503: it cannot."""
    found = await readiness_of(vault)
    body = {"status": found.status, "checks": dict(found.checks)}
    headers = {"Cache-Control": "no-store"}
    if not found.can_acknowledge:
        headers["Retry-After"] = "5"
    return JSONResponse(body, status_code=200 if found.can_acknowledge else 503, headers=headers)


async def readiness_of(vault: Vault) -> Readiness:
    """Check the dependencies of this vault."""
    return await readiness(
        database=vault.database.aside,
        uploader=vault.uploader,
        reserve_bytes=RESERVE_BYTES,
        servers_down=vault.servers_down,
        clock=vault.ingest_context.clock,
        uptime=vault.uptime,
        image_urls=vault.image_urls,
    )
