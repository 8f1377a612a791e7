"""URLs into the object store that are good for one request: AWS Signature Version 4 in the query, by arithmetic alone."""

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlsplit

from platevault.domain.errors import SettingsInvalid
from platevault.infra.objectstore import SignedUrl
from platevault.infra.objectstore.key_rules import check_key
from platevault.infra.objectstore.s3.sigv4 import ALGORITHM, signing_key
from platevault.infra.objectstore.signing_windows import Window, window_of

_UNRESERVED = re.compile(r"[A-Za-z0-9._~/-]+").fullmatch
_BLOCK = 64  # bytes that SHA-256 takes in at a time
URLS_KEPT_MAX = 10_000
"""URLs of one window that are kept, about half a kilobyte each."""
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
        "X-Amz-Algorithm": ALGORITHM,
        "X-Amz-Credential": f"{identity.access_key}/{day}/{identity.region}/s3/aws4_request",
        "X-Amz-Date": stamp,
        "X-Amz-Expires": str(window.seconds),
        "X-Amz-SignedHeaders": names,
    } | dict(parameters or {})
    encoded = "&".join(f"{name}={value}" for name, value in sorted((_encode(n), _encode(v)) for n, v in query.items()))
    lines = "".join(f"{name}:{signed[name]}\n" for name in sorted(signed))
    request = f"{method}\n{parts.path}\n{encoded}\n{lines}\n{names}\nUNSIGNED-PAYLOAD"
    head = f"{ALGORITHM}\n{stamp}\n{day}/{identity.region}/s3/aws4_request\n"
    return f"{url}?{encoded}&X-Amz-Signature={_signature(_signing_key(identity, day), head, request)}"


class S3UrlSigner:
    """A `UrlSigner` for GET of objects in one bucket, path style, at the address that browsers reach.

    What stays the same within a window (signing key, query, header) is kept from one URL to the next.
    """

    def __init__(self, *, public_endpoint: str, bucket: str, identity: SigningIdentity) -> None:
        """`public_endpoint` is scheme://host[:port]; raises `SettingsInvalid` when it is anything else."""
        self._base = f"{_origin_of(public_endpoint)}/{_encode_path(bucket)}/"
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
        prepared = self._prepared(valid_for, now)
        path = key if _UNRESERVED(key) else _encode_path(key)
        if download is None and content_type is None:
            (url,) = prepared.urls([path])
            return SignedUrl(url=url, expires_at=prepared.expires_at)
        parameters = {"response-content-disposition": attachment(download)} if download is not None else {}
        if content_type is not None:
            parameters["response-content-type"] = content_type
        url = presigned_url(
            self._identity, method="GET", url=self._base + path, window=prepared.window, parameters=parameters
        )
        return SignedUrl(url=url, expires_at=prepared.expires_at)

    def sign_all(self, keys: Sequence[str], *, valid_for: timedelta, now: datetime) -> tuple[list[str], datetime]:
        """(the URLs that `sign` would make, in order; until when they are valid)."""
        prepared = self._prepared(valid_for, now)
        paths = [key if _UNRESERVED(key) else _encode_path(key) for key in keys]
        return prepared.urls(paths), prepared.expires_at

    @property
    def urls_kept(self) -> int:
        """URLs of the current window in memory."""
        return len(self._asked[2].made)

    def _prepared(self, valid_for: timedelta, now: datetime) -> "_Prepared":
        asked = self._asked
        if asked[0] != now or asked[1] != valid_for:  # the URLs of one answer are all asked for at one moment
            window = window_of(now, valid_for)
            prepared = asked[2] if asked[2].window == window else self._prepare(window)
            asked = self._asked = (now, valid_for, prepared)
        return asked[2]

    def _prepare(self, window: Window) -> "_Prepared":
        day, stamp = _stamps(window)
        scope = f"{day}/{self._identity.region}/s3/aws4_request"
        query = (
            f"X-Amz-Algorithm={ALGORITHM}&X-Amz-Credential={_encode(f'{self._identity.access_key}/{scope}')}"
            f"&X-Amz-Date={stamp}&X-Amz-Expires={window.seconds}&X-Amz-SignedHeaders=host"
        )
        # HMAC (RFC 2104) with its key and all that precedes the request's digest taken in already: the rest is two short hashes.
        key = _signing_key(self._identity, day).ljust(_BLOCK, b"\0")
        inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in key))
        inner.update(f"{ALGORITHM}\n{stamp}\n{scope}\n".encode())
        base = urlsplit(self._base)
        return _Prepared(
            window=window,
            expires_at=datetime.fromtimestamp(window.ends_at, UTC),
            request=hashlib.sha256(f"GET\n{base.path}".encode()),
            rest=f"\n{query}\nhost:{base.netloc}\n\nhost\nUNSIGNED-PAYLOAD",
            inner=inner,
            outer=hashlib.sha256(bytes(byte ^ 0x5C for byte in key)),
            base=self._base,
            query=f"?{query}&X-Amz-Signature=",
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
    """What the URLs of one window share. The hashes have taken in what comes first, and are copied for each URL."""

    window: Window
    expires_at: datetime
    request: "hashlib._Hash"
    rest: str
    inner: "hashlib._Hash"
    outer: "hashlib._Hash"
    base: str
    query: str
    made: dict[str, str] = field(default_factory=dict)
    """URLs by encoded key, because clients ask for the newest page again and again. They end with the window."""

    def urls(self, paths: Sequence[str]) -> list[str]:
        """The URLs of GETs; `paths` are encoded keys."""
        made = self.made
        new = [path for path in paths if path not in made]
        if not new:
            return [made[path] for path in paths]
        if len(made) + len(new) > URLS_KEPT_MAX:
            made.clear()
            new = list(paths)
        urls = dict(zip(new, self._make(new), strict=True))
        if len(new) <= URLS_KEPT_MAX:
            made.update(urls)
            return [made[path] for path in paths]
        return [urls[path] for path in paths]

    def _make(self, paths: Iterable[str]) -> list[str]:
        new_request, new_inner, new_outer = self.request.copy, self.inner.copy, self.outer.copy
        rest, base, query = self.rest, self.base, self.query
        urls: list[str] = []
        for path in paths:
            request, inner, outer = new_request(), new_inner(), new_outer()
            request.update((path + rest).encode())
            inner.update(request.hexdigest().encode())
            outer.update(inner.digest())
            urls.append(f"{base}{path}{query}{outer.hexdigest()}")
        return urls


def _signature(key: bytes, head: str, request: str) -> str:
    return hmac.digest(key, (head + hashlib.sha256(request.encode()).hexdigest()).encode(), "sha256").hex()


def _signing_key(identity: SigningIdentity, day: str) -> bytes:
    return signing_key(identity.secret_key, day=day, region=identity.region)


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
