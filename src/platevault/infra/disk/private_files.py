"""What an embedded server keeps from one start to the next: its ports and secrets, in private files."""

import json
import os
import random
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from platevault.domain.errors import SettingsInvalid
from platevault.infra.disk.local_disk import sync_folder

# SeaweedFS's convention; parts of it take it for granted whatever the flags say.
GRPC_OFFSET = 10_000
# Both below the ports that systems hand out for outgoing connections, so that a saved port is seldom found taken.
_PORTS = range(15_000, 22_700)
_random = random.SystemRandom()
_given: set[int] = set()
_giving = threading.Lock()


def load_or_create(path: Path, make: Callable[[], dict[str, str]]) -> dict[str, str]:
    """Return the values saved in this file. Add, durably, each name that `make` knows and the file does not.

    Raises `SettingsInvalid` if the file is damaged: its ports and keys belong to the data beside it, so new ones do not help.
    """
    saved = _saved_in(path)
    values = make() | saved
    if values != saved:
        write_private(path, json.dumps(values, indent=1) + "\n")
    return values


def _saved_in(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        saved = None
    if not isinstance(saved, dict) or not all(isinstance(value, str) for value in saved.values()):
        raise SettingsInvalid(
            f"{path} is damaged, and it has the ports and keys of the data beside it: put back a copy of it"
            f" (or of {path.parent}), or start with another --data-dir",
        )
    return saved


def write_private(path: Path, text: str) -> None:
    """The file holds the text afterwards, readable by its owner alone; after a power cut it is the old or the new one."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    sync_folder(path.parent)


def new_secret() -> str:
    """43 characters of A-Z a-z 0-9 - _, which need no quoting in a URL, in SQL or in a shell."""
    return secrets.token_urlsafe(32)


def free_ports(count: int) -> list[str]:
    """Ports of 127.0.0.1 on which nobody listens now; each one's port plus 10000 is free too. None is given twice by this process:
    one server may not listen yet when the next is given its ports.
    """
    found: list[str] = []
    with _giving:
        for port in _random.sample(_PORTS, k=len(_PORTS)):
            if len(found) == count:
                break
            if port not in _given and _is_free(port) and _is_free(port + GRPC_OFFSET):
                _given.add(port)
                found.append(str(port))
    return found


def wait_until_free(ports: Iterable[str], *, server: str, saved_in: Path, timeout: float) -> None:
    """Return when nobody listens on the ports; `SettingsInvalid` says which is taken after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    for port in ports:
        while not _is_free(int(port)):
            if time.monotonic() > deadline:
                raise SettingsInvalid(
                    f"port {port} of the embedded {server} is taken by another program: stop that program,"
                    f" or choose other ports by editing {saved_in}",
                )
            time.sleep(0.05)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # Servers set it too: connections of the one before, in TIME_WAIT, take no port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
