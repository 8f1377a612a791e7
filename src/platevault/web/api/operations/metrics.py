"""Metrics of this node, for Prometheus."""

from importlib.metadata import version
from typing import Annotated

from fastapi import Depends, Response

from platevault.access.actor import Actor, Scope
from platevault.domain.errors import Missing
from platevault.operations.gauges import MEASURES_TYPE, measure
from platevault.web.auth.credentials import needs
from platevault.web.dependencies import Wired


def _is_on(vault: Wired) -> None:
    if vault.access.metrics_token is None and not vault.access.open_to_all:
        raise Missing("metrics are off here: set METRICS_TOKEN, and give it to Prometheus as its bearer token")


async def get_metrics(
    _on: Annotated[None, Depends(_is_on)],
    vault: Wired,
    _actor: Annotated[Actor, Depends(needs(Scope.METRICS_READ))],
) -> Response:
    """Return the metrics of all processes of this node and of its dependencies; 200 whatever dependency is down."""
    text = await measure(ingest_context=vault.ingest_context, version=version("platevault"))
    return Response(text, media_type=MEASURES_TYPE, headers={"Cache-Control": "no-store"})
