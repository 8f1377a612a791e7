"""Show one detection to somebody: with links to its images and the holds that keep it, once the look is written down."""

from platevault.access.actor import Look, Scope
from platevault.access.sql import access_log
from platevault.catalog.links import Links, link
from platevault.catalog.sql.detection_with_holds import find_with_holds
from platevault.delivery.explain import explain_images
from platevault.domain.errors import Missing
from platevault.domain.search_results import FoundDetection
from platevault.holds.hold import KeepingHold
from platevault.infra.postgres.database import Database


async def show_detection(
    detection_id: str, *, look: Look, database: Database, links: Links
) -> tuple[FoundDetection, tuple[KeepingHold, ...]]:
    """The detection and the newest holds that keep it, at most 20; raises `Missing`. One row of the access log tells of both."""
    look.actor.must(Scope.DETECTIONS_READ)  # who may read detections may list holds too
    shown = await access_log.looking(
        database,
        lambda connection: find_with_holds(detection_id, connection),
        look=look,
        shows=lambda found: None if found is None else [found[0].detection_id],
    )
    if shown is None:
        raise Missing("there is no detection of that id")
    link(shown[0], look=look, links=links)
    if Scope.ADMIN in look.actor.scopes and shown[0].images:
        shown[0].delivery = await explain_images(detection_id, database=database)
    return shown
