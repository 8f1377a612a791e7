"""`/healthz` and `/readyz`, for whoever restarts and routes."""

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from platevault.operations.readiness import readiness
from platevault.web.dependencies import Wired

router = APIRouter(tags=["health"])

RESERVE_BYTES = 1024 * 1024


@router.get("/healthz", summary="Whether this process is alive")
async def healthz() -> JSONResponse:
    """This process is alive and answers; says nothing about its neighbours."""
    return JSONResponse({"status": "ok"}, headers={"Cache-Control": "no-store"})


@router.get(
    "/readyz",
    summary="Whether this process can take a batch, and what is wrong",
    responses={503: {"description": "This process cannot acknowledge a batch now."}},
)
async def readyz(vault: Wired) -> JSONResponse:
    """200 while this process can acknowledge a batch, `degraded` when something else is wrong; else 503."""
    found = await readiness(database=vault.database.aside, uploader=vault.uploader, reserve_bytes=RESERVE_BYTES)
    body = {"status": found.status, "checks": dict(found.checks)}
    headers = {"Cache-Control": "no-store"}
    if not found.can_acknowledge:
        headers["Retry-After"] = "5"
    return JSONResponse(body, status_code=200 if found.can_acknowledge else 503, headers=headers)
