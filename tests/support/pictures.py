"""A rendition context for tests: a real database, objects in memory, and a maker that counts what it is asked for and decodes nothing."""

import asyncio
import hashlib
import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import text

from platevault.domain.errors import ImageRefused
from platevault.domain.object_keys import generate_object_key
from platevault.domain.rendition_recipe import Facts, Recipe, Rendered
from platevault.infra.objectstore import NewObject
from platevault.infra.objectstore.memory import MemoryStore
from platevault.infra.postgres.database import Database
from platevault.renditions.context import RenditionContext
from platevault.renditions.sql import renditions as derivatives
from platevault.renditions.sql.renditions import Derivable
from platevault.renditions.variants import Variants, Wanted
from tests.makers import NOON, a_detection, an_image, put

VARIANTS = Variants.parse('{"thumb": {"width": 320, "format": "webp"}}')
THUMB = VARIANTS.wanted("thumb")
ORIGINAL = b"the bytes of an original"
BOX = {"x": 100, "y": 200, "width": 80, "height": 20}


class CountingMaker:
    """Gives each recipe the picture that its name is. `gate` is waited for; `refuses` what it is to say no to."""

    def __init__(self) -> None:
        self.recipes: list[Recipe] = []
        self.asked = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        self.refuses: str | None = None
        self.location: tuple[float, float] | None = None
        self.closed = False

    async def render(self, original: bytes, recipe: Recipe) -> Rendered:
        self.recipes.append(recipe)
        self.asked.set()
        await self.gate.wait()
        if self.refuses is not None:
            raise ImageRefused(self.refuses)
        data = f"{hashlib.sha256(original).hexdigest()} as {recipe}".encode()
        return Rendered(data=data, content_type=recipe.format.content_type, width=320, height=180)

    async def facts(self, original: bytes) -> Facts:
        if self.refuses is not None:
            raise ImageRefused(self.refuses)
        return Facts(
            content_type="image/jpeg",
            size=len(original),
            width=1920,
            height=1080,
            orientation=1,
            frames=1,
            colors="RGB",
            taken_at=NOON,
            exif=(("Make", "Acme"),),
            location=self.location,
        )

    async def check(self) -> None:
        await self.gate.wait()

    async def close(self) -> None:
        self.closed = True


def a_rendition_context(
    database: Database, objects: MemoryStore, maker: CountingMaker, **more: Any
) -> RenditionContext:
    """The context of one process; another call is another process."""
    usual: dict[str, Any] = {
        "now": lambda: NOON,
        "process_id": uuid.uuid4(),
        "decoder": maker,
        "variants": VARIANTS,
    }
    return RenditionContext(database=database, objects=objects, **(usual | more))


async def an_original(
    database: Database,
    objects: MemoryStore,
    detection_id: str = "evt_1",
    *,
    kinds: tuple[str, ...] = ("full",),
    **more: Any,
) -> None:
    """A detection whose images of these kinds are stored, row and object."""
    images = [an_image(kind, sha256=hashlib.sha256(ORIGINAL).digest(), size=len(ORIGINAL)) for kind in kinds]
    async with database.reading() as connection:
        await put(connection, a_detection(detection_id, images=images, **more))
        await connection.commit()
    for kind in kinds:
        key = generate_object_key(detection_id, more.get("captured_at", NOON), kind)
        assert await objects.create(key, NewObject(data=ORIGINAL, content_type="image/jpeg", metadata={}))


async def found(database: Database, detection_id: str = "evt_1", kind: str = "full") -> Derivable:
    async with database.reading() as connection:
        one = await derivatives.find((detection_id, kind), connection)
    assert one is not None
    return one


async def run(database: Database, statement: str, **parameters: object) -> list[dict[str, Any]]:
    async def work(connection: Any) -> list[dict[str, Any]]:
        done = await connection.execute(text(statement), parameters)
        return [dict(row) for row in done.mappings()] if done.returns_rows else []

    return await database.transaction(work)


async def keys(objects: MemoryStore, prefix: str = "derived/") -> list[str]:
    return [key async for key, _, _ in objects.list(prefix)]


def key_of(wanted: Wanted = THUMB, detection_id: str = "evt_1", *, of_plate: bool = False) -> str:
    original = generate_object_key(detection_id, NOON, "full")
    return f"derived/{original}/{wanted.name(of_plate=of_plate)}.{wanted.recipe.format.extension}"


class Clock:
    """Time as the test says."""

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now
