"""GET …/images/{kind}/url and POST /v1/image-urls: presigned URLs, valid for as long as asked and allowed."""

from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from platevault.catalog.sign_urls import sign_images
from platevault.web.auth.credentials import Looking
from platevault.web.dependencies import Wired, links_of
from platevault.web.problems import image_gone
from platevault.web.schemas.detections import ImageUrlsAnswered, ImageUrlsAsked, UrlAnswered
from platevault.web.schemas.openapi import answers, problems

router = APIRouter(tags=["images"])

_URL: Final = "https://images.example/alpr-images/full/2025/01/15/evt_abc123_full.jpg?X-Amz-Signature=…"
_ONE: Final = answers(UrlAnswered, {"url": _URL, "expires_at": "2025-01-15T10:40:00Z", "expires_in": 600})
_MANY: Final = answers(
    ImageUrlsAnswered,
    {
        "items": [
            {
                "detection_id": "evt_abc123",
                "kind": "full",
                "state": "stored",
                "url": _URL,
                "url_expires_at": "2025-01-15T10:40:00Z",
            },
        ],
    },
)


class UrlAsked(BaseModel):
    """How the URL is wanted."""

    model_config = ConfigDict(extra="forbid")

    expires_in: int | None = Field(
        None, ge=1, description="Seconds; longer than the vault allows is clamped.", examples=[600]
    )
    download: bool = Field(default=False, description="Whether the browser saves it as a file.")


@router.get(
    "/v1/detections/{detection_id}/images/{kind}/url",
    summary="A URL of one image",
    responses=_ONE | problems(404, 410),
)
async def sign_image(
    detection_id: str,
    kind: str,
    asked: Annotated[UrlAsked, Query()],
    vault: Wired,
    look: Looking,
) -> Response:
    """While the image is pending it is this service's own path, which needs the same credential again."""
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


@router.post("/v1/image-urls", summary="URLs of many images at once", responses=_MANY | problems(413))
async def sign_many(asked: ImageUrlsAsked, vault: Wired, look: Looking) -> Response:
    """In the order asked; an image that has none says why by its state, or `unknown`."""
    items = await sign_images(
        [(image.detection_id, image.kind) for image in asked.images],
        links=links_of(vault, expires_in=asked.expires_in),
        look=look,
        database=vault.database,
    )
    return _json({"items": items})


def _json(answer: object) -> Response:
    return Response(msgspec.json.encode(answer), media_type="application/json")
