"""DELETE /v1/detections/{detection_id}, and /v1/deletions: what is to be forgotten before its time."""

from typing import Final
from uuid import UUID

import msgspec
from fastapi import APIRouter, Response

from platevault.retention.deletions.deletion import Deletion, DeletionState
from platevault.retention.deletions.request import confirm_deletion, delete_detection, request_deletion, show_deletion
from platevault.web.auth.credentials import Looking
from platevault.web.dependencies import Wired
from platevault.web.schemas.deletions import (
    DELETION_EXAMPLE,
    ERASED_EXAMPLE,
    DeletionAnswered,
    DeletionAsked,
    ErasedAnswered,
)
from platevault.web.schemas.openapi import Responses, answers, problems

router = APIRouter(tags=["deletions"])

_PATH: Final = "/v1/deletions/{deletion_id}"
_DONE: Final = answers(DeletionAnswered, DELETION_EXAMPLE)
_ACCEPTED: Final[Responses] = {202: _DONE[200] | {"description": "Accepted; `Location` tells how far it is"}}


@router.delete(
    "/v1/detections/{detection_id}",
    summary="Delete one detection",
    responses=answers(ErasedAnswered, ERASED_EXAMPLE) | problems(404, 409),
)
async def delete_one(detection_id: str, vault: Wired, look: Looking) -> Response:
    """A tombstone stays (id, times, digests); what the camera read and the images go. The same again answers the same.

    409 names the legal holds that keep it.
    """
    erased = await delete_detection(detection_id, look=look, context=vault.job_context, deletion_id=vault.new_id())
    return _json(erased)


@router.post(
    "/v1/deletions",
    summary="Ask for a deletion by a filter",
    status_code=202,
    responses=_ACCEPTED | problems(413),
)
async def ask(asked: DeletionAsked, vault: Wired, look: Looking) -> Response:
    """Counts what would go, and deletes nothing yet: confirm it before `confirm_before`. What comes in later is not among it."""
    fields = asked.filter.model_dump(by_alias=True, exclude_unset=True)
    deletion = await request_deletion(fields, look=look, context=vault.job_context, deletion_id=vault.new_id())
    return _answer(deletion, vault)


@router.post(f"{_PATH}/confirm", summary="Confirm a deletion", responses=_DONE | _ACCEPTED | problems(404, 410))
async def confirm(deletion_id: UUID, vault: Wired, look: Looking) -> Response:
    """200 when it is done, 202 while it goes on. What a legal hold keeps is skipped and counted."""
    return _answer(await confirm_deletion(deletion_id, look=look, context=vault.job_context), vault)


@router.get(_PATH, summary="How far a deletion is", responses=_DONE | problems(404))
async def show(deletion_id: UUID, vault: Wired, look: Looking) -> Response:
    """Also after it has ended; its filter is erased then."""
    deletion = await show_deletion(deletion_id, look=look, context=vault.job_context)
    return _answer(deletion, vault, status_code=200)


def _answer(deletion: Deletion, vault: Wired, *, status_code: int | None = None) -> Response:
    state = deletion.state(vault.now())
    body = {
        "deletion_id": deletion.deletion_id,
        "state": state,
        "requested_at": deletion.requested_at,
        "requested_by": deletion.requested_by,
        "confirm_before": deletion.expires_at,
        "confirmed_at": deletion.confirmed_at,
        "confirmed_by": deletion.confirmed_by,
        "ended_at": deletion.ended_at,
        "purpose": deletion.purpose,
        "case": deletion.case,
        "filter": None if state is DeletionState.LAPSED else deletion.filters,
        "to_delete": deletion.counted,
        "held": deletion.held,
        "deleted": deletion.deleted,
        "skipped": deletion.skipped,
    }
    status_code = status_code or (200 if state is DeletionState.DONE else 202)
    headers = {"Location": f"/v1/deletions/{deletion.deletion_id}"} if status_code == 202 else {}
    return _json(body, status_code=status_code, headers=headers)


def _json(body: object, *, status_code: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(body), status_code=status_code, headers=headers, media_type="application/json")
