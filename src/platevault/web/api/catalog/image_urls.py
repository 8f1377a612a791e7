"""Return signed URLs of images, valid for as long as requested and allowed."""

from typing import Annotated

import msgspec
from fastapi import Query, Response

from platevault.catalog.sign_urls import sign_images
from platevault.web.auth.credentials import Looking
from platevault.web.dependencies import Wired, links_of
from platevault.web.problems import image_gone
from platevault.web.schemas.catalog import ImageUrlRequest, ImageUrlsRequest
from platevault.web.schemas.parameters import DetectionIdInPath, ImageKindInPath


async def get_image_url(
    detection_id: DetectionIdInPath,
    kind: ImageKindInPath,
    asked: Annotated[ImageUrlRequest, Query()],
    vault: Wired,
    look: Looking,
) -> Response:
    """Return the URL of one image. While the image is pending it is a path of this service, which needs the credential again."""
    links = links_of(vault, expires_in=asked.expires_in)
    (signed,) = await sign_images(
        [(detection_id, kind)],
        links=links,
        look=look,
        database=vault.database,
        download=asked.download,
    )
    if signed.url is None:
        return image_gone(signed.state).response()
    expires_at = signed.url_expires_at
    left = None if expires_at is None else int((expires_at - links.now).total_seconds())
    return _json({"url": signed.url, "expires_at": expires_at, "expires_in": left})


async def get_image_urls(asked: ImageUrlsRequest, vault: Wired, look: Looking) -> Response:
    """Return the URLs of many images in the order of the request. The state explains a missing URL."""
    items = await sign_images(
        [(image.detection_id, image.kind) for image in asked.images],
        links=links_of(vault, expires_in=asked.expires_in),
        look=look,
        database=vault.database,
    )
    return _json({"items": items})


def _json(answer: object) -> Response:
    return Response(msgspec.json.encode(answer), media_type="application/json")
