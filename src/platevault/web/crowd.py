"""Refuses a batch for which there is no place before anything else looks at it: under load that is most of them."""

from dataclasses import dataclass
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from platevault.domain.errors import Unavailable
from platevault.domain.measures import kind_of
from platevault.flows.admission import refuse_if_crowded
from platevault.vault import Vault
from platevault.web import problems

BATCHES: Final = "/v1/detections"


@dataclass(frozen=True, slots=True)
class _Route:
    """What the log and the meters call it."""

    path: str


class Crowd:
    """Wraps the app. Whoever comes when there is a place is looked at by the route itself, which asks again."""

    def __init__(self, app: ASGIApp, *, vault: Vault) -> None:
        self._app = app
        self._reception = vault.reception

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != BATCHES or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        try:
            refuse_if_crowded(self._reception)
        except Unavailable as error:
            self._reception.meters.batch(kind_of(error))
            scope["route"] = _Route(BATCHES)
            await problems.problem_of(error).response()(scope, receive, send)
            return
        await self._app(scope, receive, send)
