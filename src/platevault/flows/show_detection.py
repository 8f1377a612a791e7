"""Show one detection to somebody: with links to its images and the holds that keep it, once the look is written down."""

from platevault.domain.access import Look, Scope
from platevault.domain.errors import Missing
from platevault.domain.found import FoundDetection
from platevault.domain.holds import KeepingHold
from platevault.flows.link import Links, link
from platevault.stores import access_log
from platevault.stores.database import Database
from platevault.stores.keeping_holds import find_with_holds


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
    return shown
