"""The vault that this app was built with, and the request's own id, as dependencies."""

import ipaddress
import itertools
import re
import secrets
from datetime import timedelta
from typing import Annotated, Final, cast

from fastapi import Depends, Request
from starlette.datastructures import Headers

from platevault.app.vault import Vault
from platevault.catalog.links import Links

VAULT: Final = "vault"
"""Under this name the vault stands in the state of the app's lifespan, which connections are given."""

DOOR: Final = "door"
"""And under this one who refuses batches without the app (web/server/overload)."""

ABORT: Final = "platevault.abort"
"""And under this one, in the extensions of a request's scope, what drops its connection at once, unsent answer and all."""

WHOLE_BODY: Final = "platevault.whole_body"
"""Under this one, in the same place, the reader of a batch's body into one buffer (web/server/whole_body)."""

DISCARD_BYTES_MAX: Final = 1024 * 1024
"""Of a refused body connections throw so much away, so that a client which sends before it listens sees the answer."""

# Of a length; Python would not even read what has thousands of them.
DIGITS_MAX: Final = 20

REQUEST_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# Ids are unique without asking the kernel for chance each time.
_THIS_PROCESS: Final = secrets.token_hex(8)
_numbers: Final = itertools.count()


def unread_bytes(headers: Headers) -> int | None:
    """How much of a request's body is left to throw away when it was refused unread; None where the connection has to end instead."""
    if "expect" in headers:  # who asks first may never send the body, or send it all the same
        return None
    declared = headers.get("content-length", "" if "transfer-encoding" in headers else "0").strip(" \t")
    if not (declared.isascii() and declared.isdigit()) or len(declared) > DIGITS_MAX:
        return None
    size = int(declared)
    return size if size <= DISCARD_BYTES_MAX else None


def must_close_unread(headers: Headers) -> bool:
    """Whether a connection is of no further use once its request was refused without reading the body."""
    return unread_bytes(headers) is None


def request_id_from(given: str | None) -> str:
    """The id that the client gave its request, or a new one where it gave none that a log can hold."""
    if given is not None and REQUEST_ID.fullmatch(given):
        return given
    return f"{_THIS_PROCESS}{next(_numbers):016x}"


async def vault_of(request: Request) -> Vault:
    return cast(Vault, request.app.state.vault)


def request_id_of(request: Request) -> str:
    return str(request.scope["state"]["request_id"])


def route_of(request: Request) -> str:
    """The template of the route (`/v1/detections/{detection_id}`), which names no one."""
    return str(getattr(request.scope.get("route"), "path", ""))


Wired = Annotated[Vault, Depends(vault_of)]


def actor_by_address(request: Request) -> str:
    """Return the actor of a signed URL, which has no credential: the client's address (IPv6: its network of 64 bits)."""
    host = request.client.host if request.client is not None else ""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return "address:"
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return f"address:{ipaddress.ip_network((address, 64), strict=False)}"
    return f"address:{address}"


def links_of(vault: Vault, *, expires_in: int | None = None) -> Links:
    """Links, all of one moment, good for so many seconds as far as that is allowed; of the usual life unless told."""
    # Compared before it becomes a timedelta, which has an end.
    wanted = vault.links.valid_for if expires_in is None else timedelta(seconds=min(expires_in, 10**9))
    return Links(
        signer=vault.signer,
        valid_for=min(wanted, vault.links.valid_for_at_most),
        now=vault.now(),
        variants=vault.rendition_context.variants.names,
    )
