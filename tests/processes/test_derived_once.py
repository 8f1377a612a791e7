"""Real processes, a real store and a real picture: many requests at two services for one picture get one render."""

import asyncio
import hashlib
from datetime import UTC, datetime
from pathlib import Path

import httpx2

from platevault.collector.photo import dimensions, draw_scene
from platevault.infra.disk.private_files import free_ports
from tests.support.deliveries import CONTENT_TYPE, a_batch
from tests.support.processes import LOOKING, SENDING, Service, environment_for, service
from tests.support.servers import S3Server

METRICS = "metrics-token-of-the-tests"
MADE = 'platevault_renders_total{outcome="made"} '
# At each of two services, less than half of those that may wait: one actor gets no more.
TOGETHER = 60


async def test_two_services_render_one_picture_once(migrated_url: str, seaweed: S3Server, tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    ports = [int(port) for port in free_ports(2)]
    told = [environment_for(migrated_url, seaweed, folder, METRICS_TOKEN=METRICS) for folder in folders]
    with (
        service(told[0], port=ports[0], folder=folders[0]) as one,
        service(told[1], port=ports[1], folder=folders[1]) as two,
    ):
        async with httpx2.AsyncClient(timeout=60, limits=httpx2.Limits(max_connections=100)) as client:
            path = f"/v1/detections/{await _sent(client, one)}/images/full/derived?variant=thumb"
            answers = await asyncio.gather(
                *(client.get((one, two)[n % 2].url + path, headers=LOOKING) for n in range(TOGETHER))
            )
            assert [answer.status_code for answer in answers] == [307] * TOGETHER
            assert len({answer.headers["location"] for answer in answers}) == 1
            picture = await client.get(answers[0].headers["location"])
            assert (picture.status_code, picture.headers["content-type"]) == (200, "image/webp")
            assert picture.headers["cache-control"] == "private, max-age=86400, immutable"
            assert max(dimensions(picture.content)) == 320
            assert sum([await _made(client, each) for each in (one, two)]) == 1
            items = (await client.get(f"{two.url}/v1/detections", headers=LOOKING)).json()["items"]
            thumb = items[0]["images"]["full"]["variants"]["thumb"]
            assert (await client.get(thumb["url"])).content == picture.content


async def _sent(client: httpx2.AsyncClient, to: Service) -> str:
    """The id of a detection whose drawn scene is stored."""
    batch = a_batch(1)
    (entry,) = batch.manifest["detections"]
    jpeg = draw_scene("AB123CD", seed=1, captured_at=datetime.now(UTC), camera="north").full
    name = str(entry["detection_id"])
    batch.parts = {f"{name}_full": jpeg}
    entry["images"] = {"full": {"sha256": hashlib.sha256(jpeg).hexdigest(), "size": len(jpeg)}}
    url = f"{to.url}/v1/detections?durability=stored"
    sent = await client.post(url, content=batch.body(), headers=SENDING | {"Content-Type": CONTENT_TYPE})
    assert sent.json()["durability"] == "stored"
    return name


async def _made(client: httpx2.AsyncClient, by: Service) -> int:
    shown = await client.get(f"{by.url}/metrics", headers={"Authorization": f"Bearer {METRICS}"})
    return sum(int(float(line.removeprefix(MADE))) for line in shown.text.splitlines() if line.startswith(MADE))
