"""Rows of images that are asked for by their names, each the (detection id, kind) of one."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ARRAY, Row, Text, and_, cast, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from platevault.domain.images import ImageState
from platevault.domain.object_keys import DETECTION_ID, IMAGE_KIND
from platevault.domain.search_results import ImageRow
from platevault.infra.postgres.schema import images

_COLUMNS: Final = (
    images.c.detection_id,
    images.c.kind,
    images.c.state,
    images.c.key,
    images.c.content_type,
    func.encode(images.c.sha256, "hex").label("sha256"),
    images.c.size,
    images.c.width,
    images.c.height,
    images.c.spool_node,
    images.c.spool_file,
    images.c.spool_offset,
)


async def find_images(names: Sequence[tuple[str, str]], connection: AsyncConnection) -> dict[tuple[str, str], ImageRow]:
    """The rows of those (detection id, kind) pairs that there are; a text that cannot be an id is none."""
    names = [name for name in names if DETECTION_ID.fullmatch(name[0]) and IMAGE_KIND.fullmatch(name[1])]
    wanted = (
        func.unnest(
            cast([detection_id for detection_id, _ in names], ARRAY(Text)),
            cast([kind for _, kind in names], ARRAY(Text)),
        )
        .table_valued("detection_id", "kind", name="wanted")
        .render_derived()
    )
    is_wanted = and_(images.c.detection_id == wanted.c.detection_id, images.c.kind == wanted.c.kind)
    rows = await connection.execute(select(*_COLUMNS).join(wanted, is_wanted))
    return {(row.detection_id, row.kind): _image_row(row) for row in rows}


def _image_row(row: Row[*tuple[Any, ...]]) -> ImageRow:
    return ImageRow(
        detection_id=row.detection_id,
        kind=row.kind,
        state=ImageState(row.state),
        key=row.key,
        content_type=row.content_type,
        sha256=row.sha256,
        size=row.size,
        width=row.width,
        height=row.height,
        spool_node=None if row.spool_node is None else str(row.spool_node),
        spool_file=row.spool_file,
        spool_offset=row.spool_offset,
    )
