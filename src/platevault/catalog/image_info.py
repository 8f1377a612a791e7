"""Say what is known of one image, without its bytes."""

from functools import partial
from typing import Final

from platevault.access.actor import Look, Scope
from platevault.access.sql import access_log
from platevault.catalog.sql.images import find_images
from platevault.domain.errors import Missing
from platevault.domain.images import ImageState
from platevault.domain.search_results import ImageRow
from platevault.infra.postgres.database import Database

_VISIBLE: Final = frozenset({ImageState.STORED, ImageState.PENDING})


async def image_info(name: tuple[str, str], *, look: Look, database: Database) -> ImageRow:
    """What the row says; raises `Missing` where there is no such image."""
    look.actor.must(Scope.IMAGES_READ)
    found = await access_log.looking(
        database,
        partial(find_images, [name]),
        look=look,
        filters={"kind": name[1]},
        shows=lambda images: [row.detection_id for row in images.values() if row.state in _VISIBLE] or None,
    )
    if name not in found:
        raise Missing("there is no image of that name")
    return found[name]


async def describe_again(row: ImageRow, *, database: Database) -> ImageRow:
    """What the row says by now, to whoever has been shown it a moment ago; raises `Missing` when it is gone."""
    name = (row.detection_id, row.kind)
    await database.gate.passed()
    async with database.reading() as connection:
        found = await find_images([name], connection)
    if name not in found:
        raise Missing("there is no image of that name")
    return found[name]
