"""Direct uploads: the offer, its files and its state, for OpenAPI and for validation."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import Path
from pydantic import ConfigDict, Field, JsonValue

from platevault.web.schemas import fields
from platevault.web.schemas.fields import ClosedModel
from platevault.web.schemas.openapi import answers, problems, problems_of_body

_DIGEST: Final = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
_FILE: Final[dict[str, JsonValue]] = {
    "name": "evt_abc123_full",
    "size": 122880,
    "sha256": _DIGEST,
    "content_type": "image/jpeg",
}


UploadIdInPath = Annotated[UUID, Path(description="Id that `POST /v1/uploads` returned.")]


class UploadFileRequest(ClosedModel):
    """One image to be put: the name of its part, and the properties of its bytes."""

    model_config = ConfigDict(strict=True)

    name: str = Field(max_length=161, description="`{detection_id}_{kind}`, the name of the part in a batch.")
    size: int = Field(description="Size in bytes.")
    sha256: str = Field(max_length=64, description="SHA-256 of the bytes, 64 hexadecimal digits.")
    content_type: str = Field("image/jpeg", max_length=64, description="Media type; the default is `image/jpeg`.")


class UploadRequest(ClosedModel):
    """The files of one batch, within the limits of a batch."""

    model_config = ConfigDict(
        strict=True, json_schema_extra={"examples": [{"collector_id": "gate-1", "files": [_FILE]}]}
    )

    collector_id: fields.CollectorId = Field(max_length=63)
    files: list[UploadFileRequest] = Field(min_length=1, description="The images.")


class OfferedFileResponse(ClosedModel):
    """One PUT to the object store."""

    name: str = Field(description="Name of the part in a batch.")
    method: Literal["PUT"] = Field(description="Method of the request to the object store.")
    url: str = Field(description="Signed URL of the object store.")
    headers: dict[str, str] = Field(description="Headers that are part of the signature: send them exactly.")
    expires_at: datetime = Field(description="Time at which the URL expires.")


class OfferedUploadResponse(ClosedModel):
    """An open upload with a URL for each file."""

    upload_id: str = Field(description="Id of the upload, a UUID.")
    collector_id: fields.CollectorId
    state: Literal["open"] = Field(description="A new upload is open.")
    expires_at: datetime = Field(description="Time until which the upload can be committed.")
    files: list[OfferedFileResponse] = Field(description="The files in the order of the request.")


class UploadFileResponse(ClosedModel):
    """One file of an upload."""

    name: str = Field(description="Name of the part in a batch.")
    size: fields.ByteCount
    sha256: fields.Sha256
    content_type: fields.ContentType


class UploadResponse(ClosedModel):
    """The state of an upload."""

    upload_id: str = Field(description="Id of the upload, a UUID.")
    collector_id: fields.CollectorId
    state: Literal["open", "committed", "aborted", "expired"] = Field(description="State of the upload now.")
    opened_at: datetime = Field(description="Time at which the upload was opened.")
    expires_at: datetime = Field(description="Time until which the upload can be committed.")
    files: list[UploadFileResponse] = Field(description="The files of the upload.")
    batch_id: fields.BatchId | None = Field(None, description="Id of the batch; for `committed` only.")


OFFERED_UPLOAD_EXAMPLE: Final[dict[str, Any]] = {
    "upload_id": "7a0e8f0e-52f3-4a53-9d7e-0f5f7e7d5a11",
    "collector_id": "gate-1",
    "state": "open",
    "expires_at": "2025-01-15T12:30:00Z",
    "files": [
        {
            "name": "evt_abc123_full",
            "method": "PUT",
            "url": "https://images.example/alpr-images/temp/7a0e8f0e-52f3-4a53-9d7e-0f5f7e7d5a11/evt_abc123_full?X-Amz-Signature=…",
            "headers": {
                "Content-Length": "122880",
                "Content-Type": "image/jpeg",
                "If-None-Match": "*",
                "x-amz-checksum-sha256": "LCa0a2j/xo/5m0U8HTBBNBNCLXBkg7+g+YpeiGJm564=",
            },
            "expires_at": "2025-01-15T11:20:00Z",
        },
    ],
}
UPLOAD_EXAMPLE: Final[dict[str, Any]] = {
    "upload_id": "7a0e8f0e-52f3-4a53-9d7e-0f5f7e7d5a11",
    "collector_id": "gate-1",
    "state": "open",
    "opened_at": "2025-01-15T10:30:00Z",
    "expires_at": "2025-01-15T12:30:00Z",
    "files": [_FILE],
}
CREATE_UPLOAD_ANSWERS: Final = answers(
    OfferedUploadResponse, OFFERED_UPLOAD_EXAMPLE, status=201, description="The upload is open."
) | problems_of_body(409, 429)
UPLOAD_ANSWERS: Final = answers(UploadResponse, UPLOAD_EXAMPLE) | problems(404, 410)
