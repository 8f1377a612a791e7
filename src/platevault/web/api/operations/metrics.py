"""`GET /metrics`, for Prometheus."""

from importlib.metadata import version
from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import PlainTextResponse, Response

from platevault.access.actor import Actor, Scope
from platevault.domain.errors import Missing
from platevault.operations.gauges import MEASURES_TYPE, measure
from platevault.web.auth.credentials import needs
from platevault.web.dependencies import Wired
from platevault.web.schemas.openapi import problems

router = APIRouter(tags=["health"])


def _is_on(vault: Wired) -> None:
    if vault.access.metrics_token is None and not vault.access.open_to_all:
        raise Missing("metrics are off here: set METRICS_TOKEN, and give it to Prometheus as its bearer token")


@router.get(
    "/metrics",
    summary="What this node measures, for Prometheus",
    response_class=PlainTextResponse,
    responses=problems(404),
    dependencies=[Depends(_is_on)],
)
async def show_metrics(vault: Wired, _actor: Annotated[Actor, Depends(needs(Scope.METRICS_READ))]) -> Response:
    """All processes of the node this process belongs to, and its spool, store and database; 200 whatever of these is down."""
    text = await measure(ingest_context=vault.ingest_context, version=version("platevault"))
    return Response(text, media_type=MEASURES_TYPE, headers={"Cache-Control": "no-store"})
