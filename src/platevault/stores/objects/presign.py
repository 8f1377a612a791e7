"""URLs into the object store that are good for one request: AWS Signature Version 4 in the query, by arithmetic alone."""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlsplit

from platevault.domain.errors import SettingsInvalid
from platevault.stores.objects import SignedUrl
from platevault.stores.objects.key_rules import check_key
from platevault.stores.objects.windows import Window, window_of

_ALGORITHM = "AWS4-HMAC-SHA256"
_UNRESERVED = re.compile(r"[A-Za-z0-9._~/-]+").fullmatch
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningIdentity:
    """Whose right a URL carries: its access key id can be read in the URL, the secret cannot."""

    access_key: str
    secret_key: str
    region: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedUpload:
    """A PUT that anyone may make until `expires_at`, with exactly these headers."""

    url: str
    headers: Mapping[str, str]
    expires_at: datetime


def presigned_url(
    identity: SigningIdentity,
    *,
    method: str,
    url: str,
    window: Window,
    headers: Mapping[str, str] | None = None,
    parameters: Mapping[str, str] | None = None,
) -> str:
    """`url` (scheme, host and an encoded path) with a signature over the method, the path, `headers` and `parameters`."""
    parts = urlsplit(url)
    signed = {"host": parts.netloc} | {name.lower(): value.strip() for name, value in (headers or {}).items()}
    names = ";".join(sorted(signed))
    day, stamp = _stamps(window)
    query = {
        "X-Amz-Algorithm": _ALGORITHM,
        "X-Amz-Credential": f"{identity.access_key}/{day}/{identity.region}/s3/aws4_request",
        "X-Amz-Date": stamp,
        "X-Amz-Expires": str(window.seconds),
        "X-Amz-SignedHeaders": names,
    } | dict(parameters or {})
    encoded = "&".join(f"{name}={value}" for name, value in sorted((_encode(n), _encode(v)) for n, v in query.items()))
    lines = "".join(f"{name}:{signed[name]}\n" for name in sorted(signed))
    request = f"{method}\n{parts.path}\n{encoded}\n{lines}\n{names}\nUNSIGNED-PAYLOAD"
    head = f"{_ALGORITHM}\n{stamp}\n{day}/{identity.region}/s3/aws4_request\n"
    return f"{url}?{encoded}&X-Amz-Signature={_signature(_signing_key(identity, day), head, request)}"


class S3UrlSigner:
    """A `UrlSigner` for GET of objects in one bucket, path style, at the address that browsers reach.

    What stays the same within a window (signing key, query, header) is kept from one URL to the next.
    """

    def __init__(self, *, public_endpoint: str, bucket: str, identity: SigningIdentity) -> None:
        """`public_endpoint` is scheme://host[:port]; raises `SettingsInvalid` when it is anything else."""
        self._origin = _origin_of(public_endpoint)
        self._host = urlsplit(self._origin).netloc
        self._path = f"/{_encode_path(bucket)}/"
        self._identity = identity
        self._asked = (datetime.fromtimestamp(0, UTC), timedelta(0), self._prepare(Window(0, 1)))

    def sign(
        self,
        key: str,
        *,
        valid_for: timedelta,
        now: datetime,
        download: str | None = None,
        content_type: str | None = None,
    ) -> SignedUrl:
        """A URL for the object; `download` is the file name of a Content-Disposition: attachment."""
        asked = self._asked
        if asked[0] != now or asked[1] != valid_for:  # the URLs of one answer are all asked for at one moment
            window = window_of(now, valid_for)
            prepared = asked[2] if asked[2].window == window else self._prepare(window)
            asked = self._asked = (now, valid_for, prepared)
        prepared = asked[2]
        path = self._path + (key if _UNRESERVED(key) else _encode_path(key))
        query = prepared.query
        # Parameters are signed in byte order, and `r` comes after the `X` of all others.
        if download is not None:
            query += f"&response-content-disposition={_encode(attachment(download))}"
        if content_type is not None:
            query += f"&response-content-type={_encode(content_type)}"
        request = f"GET\n{path}\n{query}\nhost:{self._host}\n\nhost\nUNSIGNED-PAYLOAD"
        signature = _signature(prepared.key, prepared.head, request)
        return SignedUrl(
            url=f"{self._origin}{path}?{query}&X-Amz-Signature={signature}",
            expires_at=prepared.expires_at,
        )

    def _prepare(self, window: Window) -> "_Prepared":
        day, stamp = _stamps(window)
        scope = f"{day}/{self._identity.region}/s3/aws4_request"
        return _Prepared(
            window=window,
            key=_signing_key(self._identity, day),
            head=f"{_ALGORITHM}\n{stamp}\n{scope}\n",
            query=(
                f"X-Amz-Algorithm={_ALGORITHM}&X-Amz-Credential={_encode(f'{self._identity.access_key}/{scope}')}"
                f"&X-Amz-Date={stamp}&X-Amz-Expires={window.seconds}&X-Amz-SignedHeaders=host"
            ),
            expires_at=datetime.fromtimestamp(window.ends_at, UTC),
        )


class S3UploadSigner:
    """Makes PUT URLs for collectors that send bytes past the service."""

    def __init__(self, *, public_endpoint: str, bucket: str, identity: SigningIdentity) -> None:
        """`public_endpoint` is scheme://host[:port]; raises `SettingsInvalid` when it is anything else."""
        self._base = f"{_origin_of(public_endpoint)}/{_encode_path(bucket)}/"
        self._identity = identity

    def sign_put(
        self,
        key: str,
        *,
        valid_for: timedelta,
        now: datetime,
        content_type: str,
        size: int,
        sha256: str,
    ) -> SignedUpload:
        """One PUT of exactly these bytes (`sha256` in hex) under a key that is still free."""
        window = window_of(now, valid_for)
        headers = {
            "Content-Length": str(size),
            "Content-Type": content_type,
            "If-None-Match": "*",
            "x-amz-checksum-sha256": base64.b64encode(bytes.fromhex(sha256)).decode(),
        }
        url = self._base + _encode_path(check_key(key))
        return SignedUpload(
            url=presigned_url(self._identity, method="PUT", url=url, window=window, headers=headers),
            headers=headers,
            expires_at=datetime.fromtimestamp(window.ends_at, UTC),
        )


def attachment(file_name: str) -> str:
    """A Content-Disposition that saves under `file_name`, whatever characters it has (RFC 6266)."""
    plain = re.sub(r"[^A-Za-z0-9._ -]", "_", file_name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{_encode(file_name)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    window: Window
    key: bytes
    head: str
    query: str
    expires_at: datetime


def _signature(key: bytes, head: str, request: str) -> str:
    return hmac.digest(key, (head + hashlib.sha256(request.encode()).hexdigest()).encode(), "sha256").hex()


def _signing_key(identity: SigningIdentity, day: str) -> bytes:
    key = f"AWS4{identity.secret_key}".encode()
    for part in (day, identity.region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def _stamps(window: Window) -> tuple[str, str]:
    stamp = datetime.fromtimestamp(window.starts_at, UTC).strftime("%Y%m%dT%H%M%SZ")
    return stamp[:8], stamp


def _encode(text: str) -> str:
    return quote(text, safe="-_.~")


def _encode_path(text: str) -> str:
    return quote(text, safe="/-_.~")


def _origin_of(endpoint: str) -> str:
    """As browsers send it in Host: lower case, without the port that the scheme implies."""
    parts = urlsplit(endpoint.rstrip("/"))
    try:
        port, host = parts.port, parts.hostname
    except ValueError:
        port, host = None, None
    if parts.scheme not in _DEFAULT_PORTS or not host or parts.path or parts.query or parts.username:
        raise SettingsInvalid("MINIO_PUBLIC_ENDPOINT: must be scheme://host[:port] without a path")
    name = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{name}" + ("" if port in {None, _DEFAULT_PORTS[parts.scheme]} else f":{port}")
