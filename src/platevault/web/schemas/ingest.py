"""Batches as collectors send them, the answers to them, and the limits, for OpenAPI."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal

from pydantic import Field
from pydantic.json_schema import models_json_schema

from platevault.domain.batch import MANIFEST_PART
from platevault.domain.detection import Detection
from platevault.domain.images import ImageState
from platevault.domain.object_keys import BATCH_ID, COLLECTOR_ID, DETECTION_ID, IMAGE_KIND
from platevault.web.schemas import catalog, fields
from platevault.web.schemas.fields import ClosedModel
from platevault.web.schemas.ingest_examples import BATCH_EXAMPLE, LIMITS_EXAMPLE, LOST_IMAGES_EXAMPLE, MANIFEST_EXAMPLE
from platevault.web.schemas.openapi import COMPONENT, Responses, answers, problems, problems_of_body

_DETECTION: Final = "DetectionRequest"
_IN_COMPONENTS: Final = "#/components/schemas/{model}Request"
_IMAGE_FIELDS: Final = {
    "sha256": "SHA-256 of the bytes, 64 hexadecimal digits; checked if given.",
    "size": "Size in bytes; checked if given.",
}


class BatchImageResponse(ClosedModel):
    """One image of a detection of the batch."""

    state: ImageState = Field(description="State of the image now. A `pending` image is on the disk of this service.")
    key: fields.ObjectKeyOrNull = Field(None)
    sha256: fields.Sha256OrNull = Field(None)
    size: fields.ByteCountOrNull = Field(None)
    reason: str | None = Field(None, description="Why the image was not kept.")


class IgnoredFieldResponse(ClosedModel):
    """One field that only describes a detection and was left out. Its value is never repeated."""

    field: str = Field(description="Name of the field, for example `box` or `vehicle.year`.")
    reason: str = Field(description="Why the field was left out, with the form that it should have.")


class BatchDetectionResponse(ClosedModel):
    """The outcome of one detection of the batch."""

    detection_id: str | None = Field(description="Id of the detection as it was sent; null without a valid id.")
    status: Literal["created", "duplicate", "conflict", "refused"] = Field(
        description="`created` and `duplicate` are kept. `conflict`: the id is used by a detection of another collector"
        " or with other content. `refused`: the detection is not valid."
    )
    clock_suspect: bool | None = Field(
        None,
        description="True if `captured_at` is more than 5 minutes ahead of receipt, or older than CLOCK_SUSPECT_DAYS: the"
        " detection is kept, and its retention counts from receipt. Only for `created`.",
    )
    differs: list[str] | None = Field(None, description="Fields whose values differ from those of the known detection.")
    reasons: list[str] | None = Field(None, description="Why the detection is refused, one sentence for each field.")
    ignored: list[IgnoredFieldResponse] | None = Field(
        None, description="Fields that were left out because their values have no plain meaning. The rest is kept."
    )
    images: dict[str, BatchImageResponse] = Field(description="The images by kind.")


class BatchResponse(ClosedModel):
    """The acknowledgement of a batch, with the states of now."""

    batch_id: fields.BatchId
    collector_id: fields.CollectorId
    durability: Literal["spooled", "stored"] = Field(
        description="`stored` if the bucket has every kept image; `spooled` if some are still on the disk of this service."
    )
    detections: list[BatchDetectionResponse] = Field(description="The detections in the order of the manifest.")


class LostImageResponse(ClosedModel):
    """An image whose bytes were lost. Send its detection again, in a batch of any id."""

    batch_id: fields.BatchId
    detection_id: fields.DetectionId
    kind: fields.ImageKind
    sha256: fields.Sha256OrNull
    size: fields.ByteCountOrNull
    captured_at: fields.CapturedAt


class LostImagePageResponse(ClosedModel):
    """One page of lost images of a collector."""

    collector_id: fields.CollectorId
    items: list[LostImageResponse] = Field(description="The images of this page.")
    next_cursor: fields.NextCursor


class LimitsResponse(ClosedModel):
    """The limits of one batch."""

    max_batch_detections: int = Field(description="Largest number of detections in a batch.")
    max_batch_bytes: int = Field(description="Largest size of a batch in bytes, all of its parts together.")
    max_image_bytes: int = Field(description="Largest size of one image in bytes.")
    image_types: list[str] = Field(description="Accepted media types of images.")
    direct_upload: bool = Field(description="Whether `POST /v1/uploads` is available.")


class BatchManifestRequest(ClosedModel):
    """The manifest of a batch: ids, times, and the reports of the cameras."""

    batch_id: fields.BatchId = Field(pattern=f"^{BATCH_ID.pattern}$")
    collector_id: fields.CollectorId = Field(pattern=f"^{COLLECTOR_ID.pattern}$")
    sent_at: datetime | None = Field(None, description="Time of sending, RFC 3339 with a zone.")
    detections: list[Detection] = Field(
        min_length=1, description="The detections; `GET /v1/limits` has their largest number."
    )


def request_schemas() -> dict[str, Any]:
    """The component schemas of a batch.

    The schema of a detection is that of the domain, which parses it. Its descriptions are those of the answers.
    """
    _, document = models_json_schema([(BatchManifestRequest, "validation")], ref_template=_IN_COMPONENTS)
    schemas = {f"{name.removesuffix('Request')}Request": schema for name, schema in document["$defs"].items()}
    del schemas["JsonValueRequest"]
    for name, schema in schemas.items():
        schema["title"] = name
    schemas["BatchManifestRequest"]["examples"] = [MANIFEST_EXAMPLE]
    detection = schemas[_DETECTION]
    detection["description"] = "One plate read by one camera. It has a plate or at least one image."
    _describe(detection, _descriptions(catalog.DetectionResponse))
    detection["properties"]["detection_id"]["pattern"] = f"^{DETECTION_ID.pattern}$"
    detection["properties"]["data"]["anyOf"][0]["additionalProperties"] = True
    detection["properties"]["images"] |= {
        "description": "The images by kind. Each one is a part `{detection_id}_{kind}` of the body.",
        "propertyNames": {"pattern": f"^{IMAGE_KIND.pattern}$"},
    }
    for name, answer in (
        ("CandidateRequest", catalog.CandidateResponse),
        ("BoxRequest", catalog.BoxResponse),
        ("VehicleRequest", catalog.VehicleResponse),
    ):
        schemas[name]["description"] = answer.__doc__
        _describe(schemas[name], _descriptions(answer))
    schemas["DeclaredImageRequest"]["description"] = "One image of a detection."
    _describe(schemas["DeclaredImageRequest"], _IMAGE_FIELDS)
    return schemas | {"BatchRequest": _body()}


def _body() -> dict[str, Any]:
    return {
        "title": "BatchRequest",
        "type": "object",
        "description": "The manifest, and one part `{detection_id}_{kind}` for each image that the manifest declares.",
        "required": [MANIFEST_PART],
        "properties": {
            MANIFEST_PART: {
                "$ref": _IN_COMPONENTS.format(model="BatchManifest"),
                "description": "The manifest, as `application/json`.",
            },
        },
        "additionalProperties": {
            "type": "string",
            "format": "binary",
            "description": "The bytes of one image.",
        },
    }


def _descriptions(model: type[ClosedModel]) -> dict[str, str]:
    return {name: field.description or "" for name, field in model.model_fields.items()}


def _describe(schema: dict[str, Any], descriptions: Mapping[str, str]) -> None:
    for name, field in schema["properties"].items():
        if name in descriptions:
            field["description"] = descriptions[name]


BATCH_BODY: Final[dict[str, Any]] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {"$ref": COMPONENT.format(model="BatchRequest")},
            "encoding": {MANIFEST_PART: {"contentType": "application/json"}},
        },
    },
}
MANIFEST_BODY: Final[dict[str, Any]] = {
    "required": True,
    "content": {"application/json": {"schema": {"$ref": COMPONENT.format(model="BatchManifestRequest")}}},
}
_ACKNOWLEDGED: Final[Responses] = answers(
    BatchResponse,
    BATCH_EXAMPLE,
    description="No detection is new: all were known, or this is a retry (`Idempotent-Replayed: true`).",
) | answers(
    BatchResponse,
    BATCH_EXAMPLE,
    status=201,
    description="The batch is acknowledged. Keep your copy of detections that are neither `created` nor `duplicate`.",
)
BATCH_ANSWERS: Final = _ACKNOWLEDGED | problems_of_body(409, 429)
COMMIT_ANSWERS: Final = _ACKNOWLEDGED | problems_of_body(404, 409, 410, 429)
BATCH_STATE_ANSWERS: Final = answers(BatchResponse, BATCH_EXAMPLE) | problems(404)
LOST_IMAGES_ANSWERS: Final = answers(LostImagePageResponse, LOST_IMAGES_EXAMPLE) | problems()
LIMITS_ANSWERS: Final = answers(LimitsResponse, LIMITS_EXAMPLE) | problems()
