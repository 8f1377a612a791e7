"""Delete one detection, or request, confirm and show a deletion by a filter."""

import msgspec
from fastapi import Response

from platevault.retention.deletions import request
from platevault.retention.deletions.deletion import Deletion, DeletionState
from platevault.web.auth.credentials import Looking
from platevault.web.dependencies import Wired
from platevault.web.schemas.parameters import DeletionIdInPath, DetectionIdInPath
from platevault.web.schemas.retention import DeletionRequest


async def delete_detection(detection_id: DetectionIdInPath, vault: Wired, look: Looking) -> Response:
    """Erase one detection and its images. A tombstone (id, times, digests) is kept. A retry gets the same answer.

    409: `hold_ids` has the legal holds that keep it.
    """
    erased = await request.delete_detection(
        detection_id, look=look, context=vault.job_context, deletion_id=vault.new_id()
    )
    return _json(erased)


async def request_deletion(asked: DeletionRequest, vault: Wired, look: Looking) -> Response:
    """Count the detections that a filter finds, and delete none yet. Confirm before `confirm_before`. Later detections are not included."""
    fields = asked.filter.model_dump(by_alias=True, exclude_unset=True)
    deletion = await request.request_deletion(fields, look=look, context=vault.job_context, deletion_id=vault.new_id())
    return await _answer(deletion, vault)


async def confirm_deletion(deletion_id: DeletionIdInPath, vault: Wired, look: Looking) -> Response:
    """Start the deletion. 200: it is done. 202: it continues. Detections under legal hold are skipped and counted."""
    return await _answer(await request.confirm_deletion(deletion_id, look=look, context=vault.job_context), vault)


async def get_deletion(deletion_id: DeletionIdInPath, vault: Wired, look: Looking) -> Response:
    """Return the state of a deletion. Once it has ended, its filter is erased."""
    deletion = await request.show_deletion(deletion_id, look=look, context=vault.job_context)
    return await _answer(deletion, vault, status_code=200)


async def _answer(deletion: Deletion, vault: Wired, *, status_code: int | None = None) -> Response:
    state = deletion.state(await vault.job_context.time())
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
