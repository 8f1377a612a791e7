"""Which derived pictures there are of an image, and who makes one at this moment: one place in the image's own row.

Whoever is about to make a picture writes so first, for as long as the lease lasts: nobody else makes the same one, and
whoever removes the bytes of a forgotten image looks for derived ones, and once more after the last lease has ended. Who takes one
away takes it in hand the same way, so that nobody makes it anew under the hands of who deletes it. A lease under a name that
begins with `late.` is nobody's: it tells of a put that failed and may still arrive.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from platevault.domain.errors import Missing
from platevault.domain.images import ImageState
from platevault.domain.object_keys import CROP, DETECTION_ID, FULL, IMAGE_KIND
from platevault.domain.search_results import ImageRow
from platevault.infra.postgres.database import Database
from platevault.renditions.variants import REFUSED_FOR, STANDS_FOR, Picture, outworn

COLUMNS: Final = """i.detection_id, i.kind, i.state, i.key, i.content_type, encode(i.sha256, 'hex') AS sha256, i.size, i.width, i.height,
    i.spool_node::text AS spool_node, i.spool_file, i.spool_offset, CAST(i.variants AS text) AS variants, d.captured_at"""
_FIND: Final = text(f"""
    SELECT {COLUMNS}, CAST(d.box AS text) AS box FROM detections d JOIN images i USING (detection_id)
    WHERE d.detection_id = :detection_id AND i.kind = ANY(CAST(:kinds AS text[]))
""")  # noqa: S608  a constant list of columns
_NAMED: Final = "detection_id = :detection_id AND kind = :kind"
_CLAIM: Final = text(f"""
    UPDATE images SET variants = coalesce(variants, '{{}}') || jsonb_build_object(CAST(:name AS text),
        coalesce(variants -> CAST(:name AS text), '{{}}') || jsonb_build_object('by', CAST(:by AS text), 'until', now() + CAST(:lease AS interval)))
    WHERE {_NAMED} AND state = 'stored'
        AND coalesce(CAST(variants -> CAST(:name AS text) ->> 'until' AS timestamptz) <= now(), true)
        AND coalesce(CAST(variants -> CAST(:name AS text) ->> 'made_at' AS timestamptz)
            <= CASE WHEN jsonb_exists(variants -> CAST(:name AS text), 'refused') THEN CAST(:refused_before AS timestamptz)
                    ELSE CAST(:made_before AS timestamptz) END, true)
""")  # noqa: S608  a constant condition
_MINE: Final = text(f"""
    SELECT CAST(variants AS text) AS variants, ARRAY(SELECT one.key FROM jsonb_each(variants) AS one
            WHERE CAST(one.value ->> 'until' AS timestamptz) > now()) AS in_hand
    FROM images WHERE {_NAMED} AND state NOT IN ('expired', 'deleted') AND variants -> CAST(:name AS text) ->> 'by' = :by
    FOR NO KEY UPDATE
""")  # noqa: S608  a constant condition
_RECORD: Final = text(f"""
    UPDATE images SET variants = (variants - CAST(:gone AS text[])) || jsonb_build_object(CAST(:name AS text), CAST(:picture AS jsonb))
        || coalesce((SELECT jsonb_object_agg(taken, jsonb_build_object('by', CAST(:by AS text), 'until', now() + CAST(:lease AS interval)))
            FROM unnest(CAST(:taken AS text[])) AS taken), '{{}}')
    WHERE {_NAMED}
""")  # noqa: S608  a constant condition
_GIVE_UP: Final = text(f"""
    UPDATE images SET variants = variants - ARRAY(SELECT one.key FROM jsonb_each(variants) AS one
        WHERE one.key = ANY(CAST(:names AS text[])) AND one.value ->> 'by' = :by)
    WHERE {_NAMED}
""")  # noqa: S608  a constant condition
# What was made before stands: the lease alone goes.
_RELEASE: Final = text(f"""
    UPDATE images SET variants = CASE WHEN jsonb_exists(variants -> CAST(:name AS text), 'made_at')
        THEN variants || jsonb_build_object(CAST(:name AS text), (variants -> CAST(:name AS text)) - 'by' - 'until')
        ELSE variants - CAST(:name AS text) END
        || CASE WHEN CAST(:late_put AS boolean) THEN jsonb_build_object('late.' || CAST(:name AS text),
            jsonb_build_object('until', variants -> CAST(:name AS text) -> 'until')) ELSE '{{}}' END
    WHERE {_NAMED} AND variants -> CAST(:name AS text) ->> 'by' = :by
""")  # noqa: S608  a constant condition
_FORGET: Final = text(f"""
    UPDATE images SET variants = variants - CAST(:name AS text)
    WHERE {_NAMED} AND variants -> CAST(:name AS text) ->> 'sha256' = :sha256 AND NOT jsonb_exists(variants -> CAST(:name AS text), 'until')
""")  # noqa: S608  a constant condition
_STATE: Final = text(f"SELECT state FROM images WHERE {_NAMED}")  # noqa: S608  a constant condition

_PICTURES: Final = msgspec.json.Decoder(dict[str, Picture])


@dataclass(frozen=True, slots=True, kw_only=True)
class Derivable:
    """The image that pictures are made from, and those that its row tells of.

    `box` is the plate's, in pixels of `image`, where the pictures are of it alone: a crop was asked for and `image` is `full`.
    """

    image: ImageRow
    captured_at: datetime
    pictures: Mapping[str, Picture] = field(default_factory=dict)
    box: Mapping[str, Any] | None = None

    @property
    def of_plate(self) -> bool:
        return self.box is not None


async def find(name: tuple[str, str], connection: AsyncConnection) -> Derivable | None:
    """What pictures of this (detection id, kind) are made from; None where there is no such image.

    For a crop that no collector sent, `full` with the plate's box, where the detection has both.
    """
    detection_id, kind = name
    if not (DETECTION_ID.fullmatch(detection_id) and IMAGE_KIND.fullmatch(kind)):
        return None
    kinds = [CROP, FULL] if kind == CROP else [kind]
    rows: Any = (await connection.execute(_FIND, {"detection_id": detection_id, "kinds": kinds})).mappings()
    found: dict[str, Any] = {row["kind"]: row for row in rows}
    own, full = found.get(kind), found.get(FULL)
    is_absent = own is None or own["state"] == ImageState.REJECTED
    if kind == CROP and is_absent and full is not None and full["box"] is not None:
        return derivable(full, of_plate=True)
    return None if own is None else derivable(own)


def derivable(row: Mapping[str, Any], *, of_plate: bool = False) -> Derivable:
    """The row of a query that has these columns."""
    return Derivable(
        image=ImageRow(**{name: row[name] for name in _FIELDS}, state=ImageState(row["state"])),
        captured_at=row["captured_at"],
        pictures=_pictures(row["variants"]),
        box=msgspec.json.decode(row["box"]) if of_plate else None,
    )


async def find_again(database: Database, one: Derivable) -> Derivable:
    """The same as it is by now, for whoever has been shown it a moment ago; raises `Missing` when its row is gone."""
    async with database.reading() as connection:
        parameters = {"detection_id": one.image.detection_id, "kinds": [one.image.kind]}
        row: Any = (await connection.execute(_FIND, parameters)).mappings().one_or_none()
    if row is None:
        raise Missing("there is no image of that name")
    return derivable(row, of_plate=one.of_plate and row["box"] is not None)


class RenditionRows:
    """Claims of one process on pictures to be made."""

    def __init__(self, database: Database, *, process_id: UUID) -> None:
        self._database = database
        self._by = str(process_id)

    async def claim(self, image: ImageRow, name: str, *, lease: timedelta, now: datetime) -> bool:
        """True when this process is to make the picture: it is not there, nobody else makes it, and the image is stored."""
        times = {"lease": lease, "made_before": now - STANDS_FOR, "refused_before": now - REFUSED_FOR}
        return await self._changed(_CLAIM, image, name, **times)

    async def record(
        self, image: ImageRow, name: str, picture: Picture, *, lease: timedelta
    ) -> Mapping[str, Picture] | None:
        """The claim has come to this. The others that go for it (`outworn`) are told of no more, and given back: they are in the hands
        of this process until it has deleted them and gives them up, or the lease ends.

        None when the image was forgotten meanwhile, or the lease ended and another process has the claim.
        """
        return await self._database.transaction(
            lambda connection: self._record(connection, image, name, picture, lease)
        )

    async def release(self, image: ImageRow, name: str, *, late_put: bool = False) -> None:
        """Somebody else may make it. With `late_put` an object may still come of it, until the lease would have ended."""
        await self._changed(_RELEASE, image, name, late_put=late_put)

    async def give_up(self, image: ImageRow, names: Iterable[str]) -> None:
        """Whatever of these is in the hands of this process is so no more, and is not there."""
        parameters = {"detection_id": image.detection_id, "kind": image.kind, "names": list(names), "by": self._by}
        await self._database.transaction(lambda connection: connection.execute(_GIVE_UP, parameters))

    async def forget(self, image: ImageRow, name: str, picture: Picture) -> None:
        """This picture is not in the bucket, whatever the row says; a newer one of the same name stays."""
        await self._changed(_FORGET, image, name, sha256=picture.sha256)

    async def is_forgotten(self, image: ImageRow) -> bool:
        """Whether the image expired or was deleted meanwhile."""
        async with self._database.reading() as connection:
            found = await connection.execute(_STATE, {"detection_id": image.detection_id, "kind": image.kind})
            state = found.scalar_one_or_none()
        return state is None or state in {ImageState.EXPIRED, ImageState.DELETED}

    async def _record(
        self, connection: AsyncConnection, image: ImageRow, name: str, picture: Picture, lease: timedelta
    ) -> Mapping[str, Picture] | None:
        mine = {"detection_id": image.detection_id, "kind": image.kind, "name": name, "by": self._by}
        row: Any = (await connection.execute(_MINE, mine)).mappings().one_or_none()
        if row is None:
            return None
        told = {other: one for other, one in _PICTURES.decode(row["variants"]).items() if other not in row["in_hand"]}
        assert picture.made_at is not None, "it is made, or was refused"
        gone = outworn(told, name=name, made=picture, now=picture.made_at)
        changes = {
            "picture": msgspec.json.encode(picture).decode(),
            "gone": [other for other, one in told.items() if other in gone or one.made_at is None],
            "taken": [other for other, one in gone.items() if one.key is not None],
            "lease": lease,
        }
        await connection.execute(_RECORD, mine | changes)
        return gone

    async def _changed(self, statement: Any, image: ImageRow, name: str, **more: Any) -> bool:
        parameters = {"detection_id": image.detection_id, "kind": image.kind, "name": name, **more}
        if statement is not _FORGET:
            parameters["by"] = self._by
        done = await self._database.transaction(lambda connection: connection.execute(statement, parameters))
        return bool(done.rowcount)


def _pictures(variants: str | None) -> dict[str, Picture]:
    """Those that were made or refused; what is in somebody's hands for the first time is neither."""
    told = _PICTURES.decode(variants) if variants else {}
    return {name: one for name, one in told.items() if one.made_at is not None}


_FIELDS: Final = (
    *("detection_id", "kind", "key", "content_type", "sha256", "size", "width", "height"),
    *("spool_node", "spool_file", "spool_offset"),
)
