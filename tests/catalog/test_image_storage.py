"""The surface for Python programs."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

import platevault
from platevault.catalog.image_storage import ImageStorage
from platevault.domain.errors import InvalidRequest
from platevault.infra.objectstore.memory import MemoryStore
from platevault.infra.objectstore.s3.presign import S3UrlSigner, SigningIdentity
from tests.support.deliveries import a_jpeg, a_png

MOMENT = datetime(2025, 1, 15, 10, 30, tzinfo=UTC)


@pytest.fixture
def storage() -> ImageStorage:
    identity = SigningIdentity(access_key="key", secret_key="secret", region="us-east-1")
    signer = S3UrlSigner(public_endpoint="http://127.0.0.1:9000", bucket="alpr-images", identity=identity)
    return ImageStorage(objects=MemoryStore(), signer=signer, now=lambda: MOMENT)


def seconds_of(url: str) -> int:
    return int(parse_qs(urlsplit(url).query)["X-Amz-Expires"][0])


def test_the_key_is_the_one_that_the_readme_shows() -> None:
    key = platevault.generate_object_key("evt_abc123", datetime(2025, 1, 15, 10, 30), "full")  # noqa: DTZ001  naive is UTC
    assert key == "full/2025/01/15/evt_abc123_full.jpg"


async def test_images_are_stored_under_their_keys_once(storage: ImageStorage) -> None:
    images = {"full": a_jpeg(), "crop": a_jpeg("white")}
    where = {"collector_id": "gate-1", "camera_id": "lane-1", "batch_id": "b-1"}
    for _ in range(2):
        keys = await storage.store_detection_images("evt_abc123", MOMENT, images, **where)
        assert keys["full"] == "full/2025/01/15/evt_abc123_full.jpg"
        assert await storage.objects.get(keys["crop"]) == images["crop"]
    with pytest.raises(InvalidRequest, match="other bytes"):
        await storage.store_detection_images("evt_abc123", MOMENT, {"full": a_jpeg("red")}, **where)
    with pytest.raises(InvalidRequest, match="PNG"):
        await storage.store_detection_images("evt_abc123", MOMENT, {"full": a_png()}, **where)


def test_a_url_is_never_good_for_longer_than_the_limit(storage: ImageStorage) -> None:
    assert seconds_of(storage.get_presigned_url("evt_abc123", "full", MOMENT)) == 900
    assert seconds_of(storage.get_presigned_url("evt_abc123", "full", MOMENT, expiry=timedelta(seconds=30))) == 30
    assert seconds_of(storage.get_presigned_url("evt_abc123", "full", MOMENT, expiry=timedelta(hours=9))) == 3600
    with pytest.raises(InvalidRequest):
        storage.get_presigned_url("evt_abc123", "full", MOMENT, expiry=timedelta(0))
    with pytest.raises(InvalidRequest):
        storage.get_presigned_url("../evt", "full", MOMENT)
