"""Which keys a store takes: none that would leave its folder or that servers read differently."""

import re

from platevault.domain.errors import InvalidRequest

KEY_MAX_BYTES = 1024

_UNSAFE = re.compile(r"[\x00-\x1f\x7f\\]")


def check_key(key: str) -> str:
    """The key itself; raises `InvalidRequest` for an empty or dotted part, a control character or a backslash."""
    parts = key.split("/")
    if (
        not key
        or len(key.encode()) > KEY_MAX_BYTES
        or _UNSAFE.search(key)
        or any(part in {"", ".", ".."} for part in parts)
    ):
        raise InvalidRequest(
            "object key: names without control characters, separated by single slashes, 1024 bytes at most"
        )
    return key
