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


class SignedPuts:
    """Makes the heads of puts. What stays the same for a second, or for a day, is kept from one to the next."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self._path = f"/{quote(signer.bucket, safe='-_.~')}/"
        self._second = -1
        self._stamp = self._scope = self._day = ""
        self._key = b""

    def head_of(self, key: str, headers: Mapping[str, str], *, size: int, sha256: bytes) -> bytes:
        """The request line and all headers of a PUT of a body with this size and digest, which the server compares.

        `headers` have lower-case names. Raises `InvalidRequest` for a value that is no header.
        """
        self._tell_the_time()
        path = self._path + (key if _PLAIN_PATH(key) else quote(key, safe="/-_.~"))
        digest = sha256.hex()
        signed = {
            "host": self._signer.host,
            "x-amz-checksum-sha256": b2a_base64(sha256, newline=False).decode(),
            "x-amz-content-sha256": digest,
            "x-amz-date": self._stamp,
            **headers,
        }
        names = sorted(signed)
        sent = "\r\n".join([f"{name}: {signed[name]}" for name in names])
        listed = ";".join(names)
        read = _as_read([f"{name}:{signed[name]}" for name in names])
        request = b"PUT\n%b\n\n%b\n\n%b\n%b" % (path.encode(), read, listed.encode(), digest.encode())
        said = f"{ALGORITHM}\n{self._stamp}\n{self._scope}\n{hashlib.sha256(request).hexdigest()}"
        signature = hmac.digest(self._key, said.encode(), "sha256").hex()
        return (
            f"PUT {path} HTTP/1.1\r\n{sent}\r\ncontent-length: {size}\r\nuser-agent: platevault\r\nauthorization: {ALGORITHM} "
            f"Credential={self._signer.access_key}/{self._scope}, SignedHeaders={listed}, Signature={signature}\r\n\r\n"
        ).encode("ascii")

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


def _as_read(lines: list[str]) -> bytes:
    """The headers as servers read and sign them: no spaces around a value, and one where several are in a row."""
    text = "\n".join(lines)
    if text.count(" ") > 1 or ": " in text or " \n" in text or text.endswith(" "):  # seldom, and it takes its time
        text = "\n".join(
            [
                f"{name}:{' '.join(filter(None, value.split(' ')))}"
                for name, _, value in (line.partition(":") for line in lines)
            ]
        )
    try:
        read = text.encode("ascii")
    except UnicodeEncodeError:
        read = b""
    if read.translate(None, _PRINTABLE) != b"\n" * (len(lines) - 1):
        raise InvalidRequest("what travels with an object: printable ASCII characters in one line")
    return read
