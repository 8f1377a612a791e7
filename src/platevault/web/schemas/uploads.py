"""What direct uploads look like, for OpenAPI and for whoever validates against it."""

from datetime import datetime
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from platevault.web.schemas.batches import ANSWERS, BODY
from platevault.web.schemas.openapi import Responses, answers, problems

_DIGEST: Final = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
_FILE: Final[dict[str, JsonValue]] = {
    "name": "evt_abc123_full",
    "size": 122880,
    "sha256": _DIGEST,
    "content_type": "image/jpeg",
}


class FileAsked(BaseModel):
    """One image to be put: the name of its part, and what exactly its bytes are."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(max_length=161, description="`{detection_id}_{kind}`, as a batch names its parts.")
    size: int = Field(description="Bytes.")
    sha256: str = Field(max_length=64, description="In hex.")
    content_type: str = Field("image/jpeg", max_length=64)


class UploadAsked(BaseModel):
    """The files of one batch to come, within the limits of a batch."""

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"examples": [{"collector_id": "gate-1", "files": [_FILE]}]}
    )

    collector_id: str = Field(max_length=63)
    files: list[FileAsked] = Field(min_length=1)


class FileOffered(BaseModel):
    """One PUT, with exactly these headers, until `expires_at`."""

    name: str
    method: Literal["PUT"]
    url: str
    headers: dict[str, str]
    expires_at: datetime


class UploadOffered(BaseModel):
    """An open upload; it can be committed until `expires_at`."""

    upload_id: str
    collector_id: str
    state: Literal["open"]
    expires_at: datetime
    files: list[FileOffered]


class FileNamed(BaseModel):
    """One file that may be put."""

    name: str
    size: int
    sha256: str
    content_type: str


class UploadAnswered(BaseModel):
    """How an upload is now; `batch_id` is there once it is committed."""

    upload_id: str
    collector_id: str
    state: Literal["open", "committed", "aborted", "expired"]
    opened_at: datetime
    expires_at: datetime
    files: list[FileNamed]
    batch_id: str | None = None


_OFFER: Final = {
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
_UPLOAD: Final = {
    "upload_id": "7a0e8f0e-52f3-4a53-9d7e-0f5f7e7d5a11",
    "collector_id": "gate-1",
    "state": "open",
    "opened_at": "2025-01-15T10:30:00Z",
    "expires_at": "2025-01-15T12:30:00Z",
    "files": [_FILE],
}
OFFERED: Final[Responses] = {
    201: answers(UploadOffered, _OFFER)[200],
    **problems(409, 413, 429),
}
STATUS: Final[Responses] = {**answers(UploadAnswered, _UPLOAD), **problems(404, 410)}
_MANIFEST: Final = BODY["content"]["multipart/form-data"]["schema"]["properties"]["batch"]["example"]
COMMIT_BODY: Final[dict[str, Any]] = {
    "required": True,
    "content": {"application/json": {"schema": {"type": "object"}, "example": _MANIFEST}},
}
COMMIT_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    **ANSWERS,
    404: {"description": "No such upload."},
    409: {"description": "The upload, or its batch id, was committed with other content; both digests are given."},
    410: {"description": "The upload was aborted or has expired."},
    503: {"description": "Not all is stored; commit the same again after Retry-After."},
}
