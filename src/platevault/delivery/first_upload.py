"""First upload of a recorded batch, in the background of its answer."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Final

import structlog

from platevault.delivery.pending_image import PendingImage
from platevault.delivery.upload import release, upload
from platevault.delivery.uploader import Kept, Uploader
from platevault.domain.errors import Unavailable

log = structlog.get_logger(__name__)

UPLOADS_AT_ONCE: Final = 256


def may_upload(uploads: Collection[object]) -> bool:
    """Return False at the limit of concurrent uploads. The next batch is then due for the drain at once."""
    return len(uploads) < UPLOADS_AT_ONCE


def start_upload(
    file: str,
    images: Sequence[PendingImage],
    *,
    kept: Kept,
    forget: Callable[[], None],
    uploads: set[asyncio.Task[bool]],
    uploader: Uploader,
) -> asyncio.Task[bool]:
    """Upload the images, which are leased to this process, from memory and disk. Call `forget` at the end.

    The result is True when all of them are stored. Failed images are due again. `uploads` has the task while it runs.
    """
    task = asyncio.create_task(_upload(file, images, kept=kept, uploader=uploader))
    uploads.add(task)

    def done(finished: asyncio.Task[bool]) -> None:
        uploads.discard(finished)
        forget()

    task.add_done_callback(done)
    return task


async def _upload(file: str, images: Sequence[PendingImage], *, kept: Kept, uploader: Uploader) -> bool:
    try:
        if images:
            return await upload(file, images, kept=kept, uploader=uploader)
        return await release(file, uploader=uploader)
    except (Unavailable, OSError) as error:
        log.warning("upload postponed", file=file, why=str(error))
        return False
