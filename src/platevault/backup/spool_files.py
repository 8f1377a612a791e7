"""A node's spool, copied out and put back: its id, what is ready, and what was set aside.

No lock is held. A file in `ready/` or `dead/` is whole under its name and never written again; it can only be renamed between
the two or go, and it goes once its images are durable in the object store, which is copied after. `ready/` is looked at
twice: a file that was taken back from `dead/` meanwhile would else be seen in neither.
"""

import contextlib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import BinaryIO, Final
from uuid import UUID

from platevault.backup.manifest import NODE_ID
from platevault.domain.errors import SettingsInvalid, Stopped
from platevault.infra.disk.local_disk import make_folder, sync_folder

FOLDERS: Final = ("ready", "dead")
# A letter that is being written has this end: see `dead_letters`.
_DRAFTS: Final = (".draft", ".copying")


def copy_spool(
    spool: Path, *, keep: Callable[[BinaryIO, str], None], keep_room: Callable[[int], None]
) -> tuple[UUID, int]:
    """Give each file with its name (`ready/…`, `dead/…`, `node-id`) to `keep`; return the node's id and the number of its files.

    Raises `SettingsInvalid` where there is no spool, `OSError`.
    """
    node = _node_of(spool)
    if node is None:
        raise SettingsInvalid(f"SPOOL_DIR={spool} is no spool of a node: --no-spool where this machine is none")
    copied: set[str] = set()
    for folder in (*FOLDERS, FOLDERS[0]):
        for path in sorted((spool / folder).iterdir()):
            name = f"{folder}/{path.name}"
            if name in copied or path.name.endswith(_DRAFTS) or path.is_symlink() or not path.is_file():
                continue
            with contextlib.suppress(FileNotFoundError), path.open("rb") as source:  # stored, or moved, meanwhile
                keep_room(path.stat().st_size)
                keep(source, name)
                copied.add(name)
    with (spool / NODE_ID).open("rb") as source:
        keep(source, NODE_ID)
    return node, len(copied)


def restore_spool(spool: Path, *, node: UUID, names: Collection[str], copy_out: Callable[[str, Path], None]) -> int:
    """The files of these names (`ready/…`, `dead/…`) of a copy stand in this spool; returns how many. A spool that the same node has
    there already stays as it is: it knows more than any copy.

    The id comes last: until then the folder is nobody's, and can be filled again. Raises `Stopped` where another node has it, and
    for a disk that does not take them.
    """
    try:
        return _put_back(spool, node=node, names=names, copy_out=copy_out)
    except OSError as error:
        raise Stopped(f"the spool is not put back: {error.filename or spool}: {error.strerror}") from error


def _put_back(spool: Path, *, node: UUID, names: Collection[str], copy_out: Callable[[str, Path], None]) -> int:
    standing = _node_of(spool)
    if standing == node:
        return 0
    if standing is not None:
        raise Stopped(f"{spool} is the spool of node {standing}: leave it as it is (--no-spool), or move it away first")
    make_folder(spool)
    count = 0
    for folder in FOLDERS:
        make_folder(spool / folder)
        for name in sorted(name for name in names if name.startswith(f"{folder}/")):
            copy_out(name, spool / name)
            count += 1
        sync_folder(spool / folder)
    copy_out(NODE_ID, spool / NODE_ID)
    sync_folder(spool)
    return count


def _node_of(spool: Path) -> UUID | None:
    try:
        return UUID((spool / NODE_ID).read_text(encoding="ascii").strip())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise SettingsInvalid(f"{spool / NODE_ID} does not hold a node's id") from error
