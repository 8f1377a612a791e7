"""The overview: state of the vault, activity of each camera, and the button that confirms the clock."""

from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from platevault.access.actor import Scope
from platevault.jobs import vault_clock
from platevault.operations.overview import Overview
from platevault.web.api.operations.health import readiness_of
from platevault.web.auth.credentials import Looking, administrator
from platevault.web.dependencies import Wired
from platevault.web.html.charts import chart, spark
from platevault.web.html.forms import form_of
from platevault.web.html.health_messages import concerns_of, findings_of
from platevault.web.html.layout import layout_of
from platevault.web.html.render import page

AN_HOUR: Final = timedelta(hours=1)


async def show_overview(request: Request, vault: Wired, look: Looking) -> Response:
    """Counts, cameras and times, up to 30 seconds old; 200 whatever is down. Each look is written down."""
    found = await vault.lookout.overview(
        look=look, database=vault.database, uploader=vault.uploader, check=partial(readiness_of, vault), now=vault.now
    )
    return page(
        "overview.html",
        frame=layout_of(request, look),
        seen=found,
        findings=findings_of(found.readiness.checks),
        concerns=concerns_of(found),
        chart=None if found.traffic is None else chart(found.traffic.hours),
        an_hour=AN_HOUR,
        spark=spark,
        clocks=_clocks(found),
        may_confirm=Scope.ADMIN in look.actor.scopes,
        has_admin=vault.access.admin_token is not None,
    )


async def confirm_clock_here(request: Request, vault: Wired, look: Looking) -> Response:
    """Confirm the clock as `POST /v1/clock/confirm` does. A visitor who is no administrator gives the admin token in the form."""
    fields = await form_of(request)
    actor = administrator(look.actor, fields.get("token"), rules=vault.access)
    await vault_clock.confirm_clock(vault.database, vault.objects, look=replace(look, actor=actor))
    vault.lookout.forget()
    return RedirectResponse("/overview", 303, headers={"Cache-Control": "no-store"})


def _clocks(found: Overview) -> dict[str, datetime | None] | None:
    """The clocks by name while one is in doubt; None otherwise."""
    if not found.clock_in_doubt:
        return None
    check = found.readiness.checks["clock"]
    return {
        title: None if check[name] is None else datetime.fromisoformat(check[name])
        for title, name in (
            ("Clock of the database", "database_time"),
            ("Newest time seen by this vault", "newest_time_seen"),
            ("`Date` of the object store", "store_time"),
        )
    }
