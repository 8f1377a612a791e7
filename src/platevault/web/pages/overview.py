"""The overview: how the vault is, and what each camera sent."""

from datetime import timedelta
from typing import Final

from fastapi import Request, Response

from platevault.access.actor import Scope
from platevault.web.api.operations.health import RESERVE_BYTES
from platevault.web.auth.credentials import Looking
from platevault.web.dependencies import Wired
from platevault.web.html.charts import chart, spark
from platevault.web.html.health_messages import concerns_of, findings_of
from platevault.web.html.layout import layout_of
from platevault.web.html.render import page

AN_HOUR: Final = timedelta(hours=1)


async def show_overview(request: Request, vault: Wired, look: Looking) -> Response:
    """Counts, cameras and times, up to 30 seconds old; 200 whatever is down. It shows no detection, so no look is written down."""
    look.actor.must(Scope.DETECTIONS_READ)
    found = await vault.lookout.overview(
        database=vault.database, uploader=vault.uploader, reserve_bytes=RESERVE_BYTES, now=vault.now
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
    )
