"""The head of a request to S3, signed: AWS Signature Version 4 in a header, over all headers and the digest of the body."""

import hashlib
import hmac
import re
import time
from binascii import b2a_base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from platevault.domain.errors import InvalidRequest

ALGORITHM: Final = "AWS4-HMAC-SHA256"
_PLAIN_PATH = re.compile(r"[A-Za-z0-9._~/-]+").fullmatch
_PRINTABLE: Final = bytes(range(0x20, 0x7F))
_OWN_HEADERS: Final = ("host", "x-amz-checksum-sha256", "x-amz-content-sha256", "x-amz-date")
# Images under a hold, images without an end of their retention, and some more that differ in their headers.
FORMS_MAX: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """Whose right the requests to one bucket carry, path style; `host` is host:port as the server reads it in Host."""

    access_key: str
    secret_key: str
    region: str
    host: str
    bucket: str
    clock: Callable[[], float] = time.time
    """Seconds since 1970; a server refuses what is signed for another quarter of an hour."""


def signing_key(secret_key: str, *, day: str, region: str) -> bytes:
    """What signs all of a day (YYYYMMDD, UTC) in a region."""
    key = f"AWS4{secret_key}".encode()
    for part in (day, region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


@dataclass(frozen=True, slots=True, kw_only=True)
class _Form:
    """How heads with the same names of headers are written: the names in their order, and where each value comes from."""

    order: tuple[int, ...]
    lines: str
    listed: bytes
    authorized: bytes
    """What follows the signed headers, but for the signature. Good for the day of the scope."""


class SignedPuts:
    """Makes the heads of puts. What stays the same for a second, or for a day, is kept from one to the next."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self._path = f"/{quote(signer.bucket, safe='-_.~')}/"
        self._forms: dict[tuple[str, ...], _Form] = {}
        self._second = -1
        self._stamp = self._scope = self._day = self._said = ""
        self._key = b""

    def head_of(self, key: str, headers: Mapping[str, str], *, size: int, sha256: bytes) -> bytes:
        """The request line and all headers of a PUT of a body with this size and digest, which the server compares.

        `headers` have lower-case names. Raises `InvalidRequest` for a value that is no header.
        """
        self._tell_the_time()
        path = self._path + (key if _PLAIN_PATH(key) else quote(key, safe="/-_.~"))
        digest = sha256.hex()
        form = self._form_of(tuple(headers))
        values = (self._signer.host, b2a_base64(sha256, newline=False).decode(), digest, self._stamp, *headers.values())
        read = _as_read(form.lines % tuple([values[place] for place in form.order]), headers=len(form.order))
        request = b"PUT\n%b\n\n%b\n\n%b\n%b" % (path.encode(), read, form.listed, digest.encode())
        said = self._said % (self._stamp, hashlib.sha256(request).hexdigest())
        signature = hmac.digest(self._key, said.encode(), "sha256").hex()
        return b"PUT %b HTTP/1.1\r\n%b\r\ncontent-length: %d\r\n%b%b\r\n\r\n" % (
            path.encode(),
            read.replace(b"\n", b"\r\n"),
            size,
            form.authorized,
            signature.encode(),
        )

    def _form_of(self, names: tuple[str, ...]) -> "_Form":
        found = self._forms.get(names)
        if found is None:
            signed = (*_OWN_HEADERS, *names)
            order = sorted(range(len(signed)), key=signed.__getitem__)
            found = _Form(
                order=tuple(order),
                lines="\n".join(f"{signed[place]}:%s" for place in order),
                listed=(listed := ";".join(signed[place] for place in order)).encode(),
                authorized=(
                    f"user-agent: platevault\r\nauthorization: {ALGORITHM} Credential={self._signer.access_key}/{self._scope}, "
                    f"SignedHeaders={listed}, Signature="
                ).encode("ascii"),
            )
            if len(self._forms) < FORMS_MAX:
                self._forms[names] = found
        return found

    def _tell_the_time(self) -> None:
        second = int(self._signer.clock())
        if second == self._second:
            return
        self._second = second
        self._stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
        day = self._stamp[:8]
        if day != self._day:
            self._day, self._key = day, signing_key(self._signer.secret_key, day=day, region=self._signer.region)
            self._scope = f"{day}/{self._signer.region}/s3/aws4_request"
            self._said = f"{ALGORITHM}\n%s\n{self._scope}\n%s"
            self._forms.clear()


def _as_read(text: str, *, headers: int) -> bytes:
    """The headers as servers read and sign them: no spaces around a value, and one where several are in a row."""
    if "  " in text or ": " in text or " \n" in text or text.endswith(" "):  # seldom, and it takes its time
        lines = (line.partition(":") for line in text.split("\n"))
        text = "\n".join([f"{name}:{' '.join(filter(None, value.split(' ')))}" for name, _, value in lines])
    try:
        read = text.encode("ascii")
    except UnicodeEncodeError:
        read = b""
    if read.translate(None, _PRINTABLE) != b"\n" * (headers - 1):
        raise InvalidRequest("what travels with an object: printable ASCII characters in one line")
    return read
