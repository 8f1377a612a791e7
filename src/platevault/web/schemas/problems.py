"""The body of every error: an RFC 9457 problem, and the members that some kinds of problem add."""

from pydantic import ConfigDict, Field

from platevault.web.schemas.fields import ClosedModel


class RefusedDetectionResponse(ClosedModel):
    """One detection of a refused batch, and the reasons."""

    detection_id: str | None = Field(description="Id of the detection as it was sent; null without a valid id.")
    reasons: list[str] = Field(description="Sentences, each of which begins with the name of a field.")


class InvalidFieldResponse(ClosedModel):
    """One field or parameter that is not valid."""

    at: str = Field(description="Place in the request, joined by dots.", examples=["query.limit"])
    message: str = Field(description="Reason, as a sentence.")


class ProblemResponse(ClosedModel):
    """An RFC 9457 problem. `type` is stable; `detail` is text for people."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:platevault:problem:invalid-request",
                    "title": "The request is not valid",
                    "status": 422,
                    "detail": "limit: must be a whole number from 1 to 200",
                },
            ],
        },
    )

    type: str = Field(description="Stable name of this kind of problem: `urn:platevault:problem:…`.")
    title: str = Field(description="The kind of problem in words; the same for every problem of this type.")
    status: int = Field(description="HTTP status of the answer.")
    detail: str = Field(description="Explanation of this problem, for people.")
    part: str | None = Field(None, description="Part of the multipart body that was refused; `batch` is the manifest.")
    first_digest: str | None = Field(None, description="Content digest of the batch that used the id first, in hex.")
    this_digest: str | None = Field(None, description="Content digest of the batch that was refused, in hex.")
    hold_ids: list[str] | None = Field(None, description="Ids of the legal holds that keep the detection.")
    refused: list[RefusedDetectionResponse] | None = Field(
        None, description="Detections that were refused, when all of the batch was refused."
    )
    errors: list[InvalidFieldResponse] | None = Field(
        None, description="Fields and parameters that are not valid, at most 20."
    )
