"""Images of detections in the object store, for Python programs that need no service: a documented, stable surface."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from platevault.domain.errors import InvalidRequest, StoreUnavailable
from platevault.domain.images import content_type_of, reason_from
from platevault.domain.object_keys import generate_object_key
from platevault.domain.object_metadata import ImageMetadata, encode_metadata
from platevault.infra.objectstore import NewObject, ObjectStore, UrlSigner


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageStorage:
    """Stores images under their keys and signs URLs for them. Made by `platevault.image_storage()` from the environment."""

    objects: ObjectStore
    signer: UrlSigner
    now: Callable[[], datetime]
    valid_for: timedelta = timedelta(minutes=15)
    valid_for_at_most: timedelta = timedelta(minutes=60)
    keep_for: timedelta = timedelta(days=365)
    image_types: frozenset[str] = frozenset({"image/jpeg"})

    def get_presigned_url(
        self,
        detection_id: str,
        image_type: str,
        captured_at: datetime,
        expiry: timedelta | None = None,
    ) -> str:
        """A URL that anyone may GET, at the longest for `expiry` (`valid_for` without it, never more than `valid_for_at_most`).

        Arithmetic alone: it makes no request and does not know whether the image exists. Raises `InvalidRequest` for ids that
        have no key and for an expiry under a second.
        """
        asked = self.valid_for if expiry is None else expiry
        if asked < timedelta(seconds=1):
            raise InvalidRequest("expiry: at least one second")
        key = generate_object_key(detection_id, captured_at, image_type)
        return self.signer.sign(key, valid_for=min(asked, self.valid_for_at_most), now=self.now()).url

    async def store_detection_images(
        self,
        detection_id: str,
        captured_at: datetime,
        images: Mapping[str, bytes],
        *,
        collector_id: str,
        camera_id: str,
        batch_id: str,
    ) -> dict[str, str]:
        """Put each image (`{"full": jpeg, "crop": jpeg}`) under its key, durably; returns kind → key.

        The same call again changes nothing. Raises `InvalidRequest` for an image that is not of `image_types` or whose key holds
        other bytes, `StoreUnavailable` when the store did not take it; those put before the error stay.
        """
        moment = captured_at.replace(tzinfo=UTC) if captured_at.tzinfo is None else captured_at.astimezone(UTC)
        keys = {}
        for kind, data in images.items():
            content_type = content_type_of(data)
            reason = reason_from(content_type, size=len(data), accepted=self.image_types)
            if reason is not None or content_type is None:
                raise InvalidRequest(f"image {kind} of {detection_id}: {reason}")
            key = generate_object_key(detection_id, moment, kind, content_type)
            about = ImageMetadata(
                detection_id=detection_id,
                collector_id=collector_id,
                captured_at=moment,
                camera_id=camera_id,
                batch_id=batch_id,
                retain_until=moment + self.keep_for,
                sha256=hashlib.sha256(data).hexdigest(),
            )
            await self._put(key, NewObject(data=data, content_type=content_type, metadata=encode_metadata(about)))
            keys[kind] = key
        await self.objects.settle()
        return keys

    async def close(self) -> None:
        """Let go of connections."""
        await self.objects.close()

    async def _put(self, key: str, new: NewObject) -> None:
        if await self.objects.create(key, new):
            return
        standing = await self.objects.get(key)
        if standing is None:
            raise StoreUnavailable(f"{key} was taken a moment ago and is gone now")
        if standing != bytes(new.data):
            raise InvalidRequest(f"other bytes stand under {key} already")
