"""Liveness and readiness, for OpenAPI."""

from datetime import datetime
from typing import Any, Final, Literal

from pydantic import Field

from platevault.web.schemas.fields import ClosedModel
from platevault.web.schemas.openapi import Responses, answers, problems


class HealthResponse(ClosedModel):
    """This process is alive."""

    status: Literal["ok"] = Field(description="Always `ok`.")


class CheckResponse(ClosedModel):
    """One check. Which numbers it has depends on the check."""

    status: str = Field(description="`ok`, or the kind of fault in one word.", examples=["ok"])
    reason: str | None = Field(None, description="The fault in a sentence; not for `ok`.")
    schema_: str | None = Field(None, alias="schema", description="`database`: revision of the database schema.")
    used_bytes: int | None = Field(None, description="`spool`: bytes in the spool.")
    max_bytes: int | None = Field(None, description="`spool`: largest size of the spool in bytes.")
    disk_free_bytes: int | None = Field(None, description="`spool`: bytes free on its disk.")
    disk_reserve_bytes: int | None = Field(None, description="`spool`: bytes of its disk that stay free.")
    database: int | None = Field(None, description="`restore_marker`: generation of the database.")
    bucket: int | None = Field(None, description="`restore_marker`: generation of the bucket.")
    seen_seconds_ago: int | None = Field(None, description="`worker`: seconds since a worker was seen.")
    looked_seconds_ago: int | None = Field(
        None, description="`bucket` and `holds`: seconds since the last hourly check."
    )
    database_time: datetime | None = Field(None, description="`clock` in doubt: time of the database's clock.")
    newest_time_seen: datetime | None = Field(
        None, description="`clock` in doubt: newest time that the vault has seen."
    )
    store_time: datetime | None = Field(
        None, description="`clock` in doubt: time of the object store's `Date`; null if the store does not tell it."
    )


class ChecksResponse(ClosedModel):
    """The checks. Those that need the database are missing while it is unavailable."""

    database: CheckResponse = Field(description="Whether the database answers and has the schema of this version.")
    spool: CheckResponse = Field(description="Whether the spool has room for a batch.")
    object_store: CheckResponse = Field(description="Whether the object store answers.")
    restore_marker: CheckResponse | None = Field(None, description="Whether database and bucket belong together.")
    worker: CheckResponse | None = Field(None, description="Whether a worker runs.")
    bucket: CheckResponse | None = Field(None, description="Whether the bucket is configured as it must be.")
    embedded: CheckResponse | None = Field(None, description="Embedded servers that are down; only while one is.")
    clock: CheckResponse | None = Field(
        None,
        description="`wrong` if the clock of this process differs from the database's by more than a minute: batches get 503."
        " `in doubt` if database and store differ, or the database's clock jumped: nothing is erased, batches are accepted.",
    )
    image_urls: CheckResponse | None = Field(
        None, description="Only while a test image cannot be fetched by its signed URL, as the service sees it."
    )
    holds: CheckResponse | None = Field(None, description="Whether every image under legal hold has a good copy.")
    erasures: CheckResponse | None = Field(
        None, description="Only while detections are not shown: why erasures are not done again yet after a restore."
    )


class ReadinessResponse(ClosedModel):
    """Whether this process can acknowledge a batch."""

    status: Literal["ok", "degraded", "unavailable"] = Field(
        description="`ok`; `degraded` if something else is wrong; `unavailable` if no batch can be acknowledged."
    )
    checks: ChecksResponse = Field(description="The checks by name.")


class ClockResponse(ClosedModel):
    """The clocks after the confirmation."""

    status: Literal["ok", "in doubt"] = Field(
        description="`ok`; `in doubt` if a clock changed again since the confirmation: nothing is erased."
    )
    database_time: datetime = Field(description="Time of the database's clock.")
    newest_time_seen: datetime = Field(description="Newest time that the vault has seen.")
    store_time: datetime | None = Field(
        description="Time of the object store's `Date`; null if the store does not tell it."
    )


HEALTH_EXAMPLE: Final = {"status": "ok"}
READINESS_EXAMPLE: Final[dict[str, Any]] = {
    "status": "degraded",
    "checks": {
        "database": {"status": "ok", "schema": "0012"},
        "spool": {
            "status": "ok",
            "used_bytes": 0,
            "max_bytes": 10737418240,
            "disk_free_bytes": 53687091200,
            "disk_reserve_bytes": 1073741824,
        },
        "object_store": {"status": "unavailable", "reason": "no answer in time"},
        "restore_marker": {"status": "ok", "database": 1, "bucket": 1},
        "worker": {"status": "ok", "seen_seconds_ago": 4},
    },
}
CLOCK_EXAMPLE: Final = {
    "status": "ok",
    "database_time": "2025-06-01T09:00:00Z",
    "newest_time_seen": "2025-06-01T09:00:00Z",
    "store_time": "2025-06-01T09:00:00Z",
}
HEALTH_ANSWERS: Final = answers(HealthResponse, HEALTH_EXAMPLE, description="This process is alive.")
READINESS_ANSWERS: Final = answers(
    ReadinessResponse, READINESS_EXAMPLE, description="This process can acknowledge a batch."
) | answers(
    ReadinessResponse, READINESS_EXAMPLE, status=503, description="This process cannot acknowledge a batch now."
)
CLOCK_ANSWERS: Final = answers(ClockResponse, CLOCK_EXAMPLE) | problems()
METRICS_ANSWERS: Final[Responses] = {
    200: {
        "description": "Metrics in the text format of Prometheus.",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    },
    **problems(404),
}
