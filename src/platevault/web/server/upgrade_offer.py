"""The head of a request that offers another protocol, without its offer (RFC 9110, 7.8)."""

from collections.abc import Iterable
from typing import Final

UPGRADING: Final = frozenset({b"upgrade", b"http2-settings"})


def head_without_upgrade(
    method: bytes, target: bytes, version: str, headers: Iterable[tuple[bytes, bytes]]
) -> bytes | None:
    """Return the head as it would be without the offer; None for CONNECT. Names of headers are in lower case."""
    if method == b"CONNECT":
        return None
    lines = [b"%b %b HTTP/%b" % (method, target, version.encode())]
    for name, value in headers:
        kept = value
        if name == b"connection":
            kept = b",".join(token for token in value.split(b",") if token.strip().lower() not in UPGRADING)
        if kept and name not in UPGRADING:
            lines.append(b"%b: %b" % (name, kept))
    return b"\r\n".join((*lines, b"", b""))
