"""A vault for a browser to look at: real processes, drawn scenes, and what happens to them behind its back."""

import functools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
from minio import Minio
from sqlalchemy import text

from platevault.collector.photo import Scene, draw_scene
from platevault.infra.postgres.database import Database
from tests.support.deliveries import CONTENT_TYPE, Batch, a_batch, a_detection_of, a_name
from tests.support.processes import LOOKING, SENDING

ADMIN_TOKEN = "admin-token-of-the-tests"
DELETING = {"Authorization": f"Bearer {ADMIN_TOKEN}", "X-Purpose": "erasure request", "X-Case": "2025-0117"}
PLATE = "QX417ZB"
# A list that is far longer than a screen, all of one camera.
CAMERA = "long-lane"
MANY = 200


@functools.cache
def scene(plate: str = PLATE, *, seed: int = 7) -> Scene:
    """A street by day, small enough to be drawn and scaled in no time."""
    noon = datetime(2025, 1, 15, 12, tzinfo=UTC)
    return draw_scene(plate, seed=seed, captured_at=noon, camera="north", width=640, height=360)


@dataclass(frozen=True, kw_only=True)
class Site:
    """`url` is the service; `short_lived_url` another of the same vault, whose image URLs live for two seconds."""

    url: str
    short_lived_url: str
    store: Minio
    bucket: str
    database_url: str

    async def jump(self, days: int) -> None:
        """Set the newest time that the vault has seen to that many days ago."""
        database = Database.open(self.database_url, pool_size=1)
        statement = text("UPDATE vault_clock SET seen_at = clock_timestamp() - CAST(:ago AS interval)")
        await database.transaction(lambda connection: connection.execute(statement, {"ago": timedelta(days=days)}))
        await database.close()

    def send(self, plate: str = PLATE, *, crop: bool = True, **fields: Any) -> str:
        """The id of a new detection, whose images are stored when this returns."""
        (detection_id,) = self._send(_entry(plate, crop=crop, **fields))
        return detection_id

    def send_many(self) -> list[str]:
        """Detections of `CAMERA` from the last hours, the newest first; of every second one the crop is to be cut out."""
        newest = datetime.now(UTC) - timedelta(hours=1)
        return self._send(
            *(
                _entry(
                    f"LR{number:03}K",
                    crop=number % 2 == 0,
                    camera_id=CAMERA,
                    captured_at=(newest - timedelta(seconds=number)).isoformat(),
                )
                for number in range(MANY)
            ),
        )

    def look(self, path: str, *, at: str | None = None) -> httpx2.Response:
        """A GET with the viewers' token, redirects not followed."""
        answer = httpx2.get((at or self.url) + path, headers=LOOKING, timeout=60)
        assert answer.status_code < 400, answer.text
        return answer

    def make_thumbnails(self) -> None:
        """What a worker does after ingest: each picture of the list that is not made yet is made."""
        items = self.look(f"/v1/detections?camera_id={CAMERA}&limit={MANY}").json()["items"]
        pictures = [(item["detection_id"], kind) for item in items for kind in ("full", *item.get("derivable", {}))]
        with ThreadPoolExecutor(4) as together:
            list(together.map(self.make_thumbnail, *zip(*pictures, strict=True)))

    def make_thumbnail(self, detection_id: str, kind: str = "full") -> None:
        """Of one."""
        self.look(f"/v1/detections/{detection_id}/images/{kind}/derived?variant=thumb")

    def delete(self, detection_id: str) -> None:
        """As an operator does who was asked to."""
        httpx2.delete(f"{self.url}/v1/detections/{detection_id}", headers=DELETING, timeout=60).raise_for_status()

    def lose(self, detection_id: str) -> None:
        """Take all objects of its scene out of the bucket, without telling anybody."""
        key = self.look(f"/v1/detections/{detection_id}").json()["images"]["full"]["key"]
        for name in (key, *(found.object_name for found in self._under(f"derived/{key}/"))):
            self.store.remove_object(self.bucket, str(name))

    def _under(self, prefix: str) -> list[Any]:
        return list(self.store.list_objects(self.bucket, prefix, recursive=True))

    def _send(self, *entries: tuple[dict[str, Any], dict[str, bytes]]) -> list[str]:
        batch = Batch(manifest=a_batch(0).manifest)
        for entry, parts in entries:
            batch.manifest["detections"].append(entry)
            batch.parts |= parts
        answer = httpx2.post(
            f"{self.url}/v1/detections?durability=stored",
            content=batch.body(),
            headers=SENDING | {"Content-Type": CONTENT_TYPE},
            timeout=60,
        )
        assert (answer.status_code, answer.json().get("durability")) == (201, "stored"), answer.text
        return batch.ids


def _entry(plate: str, *, crop: bool, **fields: Any) -> tuple[dict[str, Any], dict[str, bytes]]:
    drawn = scene()
    detection_id = a_name()
    images = {"full": drawn.full} | ({"crop": drawn.crop} if crop else {})
    box = {"x": drawn.box.x, "y": drawn.box.y, "width": drawn.box.width, "height": drawn.box.height}
    entry = a_detection_of(detection_id, images, **({"plate": plate, "box": box} | fields))
    return entry, {f"{detection_id}_{kind}": data for kind, data in images.items()}
