"""Refusal of puts that would take the reserve of a disk of this machine."""

from platevault.domain.errors import StoreUnavailable
from platevault.domain.object_prefixes import VAULT_MARKS
from platevault.infra.disk.reserve import DiskRoom

RETRY_AFTER_SECONDS = 30


def refuse_full_disk(room: DiskRoom, *, key: str = "", size: int = 0) -> None:
    """Raise `StoreUnavailable` if `size` bytes under the key would use the reserve, or the disk cannot be read.

    Without a size: if the reserve is in use already.

    Marks and records under `meta/` may use it, because an erasure writes its record first, and erasures free the disk.
    """
    if key.startswith(VAULT_MARKS.name):
        return
    try:
        if size and room.take(size):
            return
        space = room.look()
        if not size and space.usable >= 0:
            return
    except OSError as error:
        raise StoreUnavailable(f"the disk of the object store cannot be used: {error.strerror}") from error
    raise StoreUnavailable(f"the disk of the object store is full: {space}", retry_after=RETRY_AFTER_SECONDS)
