"""A Platevault reached over HTTP, as a collector reaches it; the only file that imports httpx2."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, NoReturn
from urllib.parse import urlsplit

import httpx2
import msgspec

from platevault.collector.batch import Answer
from platevault.domain.errors import (
    BatchRefused,
    Busy,
    Forbidden,
    IdentifierReused,
    NotSignedIn,
    SettingsInvalid,
    TooLarge,
    Unavailable,
)

# Per chunk, not per body: a slow line may take as long as it needs, one that stands still may not.
TIMEOUT: Final = httpx2.Timeout(connect=10.0, read=90.0, write=60.0, pool=30.0)
CONNECTIONS_MAX: Final = 32
CHUNK_BYTES: Final = 64 * 1024
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
# The vault answers neither, but what stands in front of it does while it starts.
_PASSING: Final = frozenset({408, 425, 500, 502, 503, 504})


class VaultApi:
    """Each call tries once; `Unavailable` and `Busy` say after how many seconds another try may succeed."""

    def __init__(self, url: str, *, token: str | None) -> None:
        """`url` is where the vault is; raises `SettingsInvalid` when it is none."""
        self.url = _origin(url)
        headers = {"User-Agent": "platevault-send", "Accept": "application/json, application/problem+json"}
        if token:
            headers["Authorization"] = f"Bearer {_header_value(token)}"
        self._client = httpx2.AsyncClient(
            base_url=self.url,
            headers=headers,
            timeout=TIMEOUT,
            limits=httpx2.Limits(max_connections=CONNECTIONS_MAX),
            follow_redirects=False,  # a POST that is redirected arrives as a GET
            trust_env=urlsplit(self.url).hostname not in _LOOPBACK,  # no proxy leads back to this machine
        )

    async def send_batch(self, body: bytes, boundary: str) -> Answer:
        """What the vault says of the batch.

        Raises `BatchRefused`, `TooLarge`, `IdentifierReused` (final for this batch), `NotSignedIn`, `Forbidden`,
        `SettingsInvalid` (no vault there), `Busy` or `Unavailable`, after which the outcome is unknown.
        """
        response = await self._request(
            "POST",
            "/v1/detections",
            content=_chunks(body),
            headers={
                "Content-Type": f"multipart/form-data; boundary={boundary}",
                "Content-Length": str(len(body)),
            },
        )
        try:
            answer = msgspec.json.decode(response.content, type=Answer)
        except msgspec.DecodeError as error:
            raise Unavailable(f"{self.url} answered {response.status_code} with what is no receipt") from error
        return replace(answer, replayed=response.headers.get("Idempotent-Replayed") == "true")

    async def has_detections(self, *, viewer_token: str | None = None) -> bool:
        """Whether anything was kept here before; raises like `send_batch`. Looking takes another token than sending."""
        headers = {} if viewer_token is None else {"Authorization": f"Bearer {viewer_token}", "X-Purpose": "demo"}
        response = await self._request("GET", "/v1/detections", params={"limit": 1}, headers=headers)
        try:
            return bool(msgspec.json.decode(response.content, type=dict[str, Any]).get("items"))
        except msgspec.DecodeError as error:
            raise Unavailable(f"{self.url} answered with what is no list of detections") from error

    async def export(self, asked: Mapping[str, Any], *, why: Mapping[str, str]) -> AsyncGenerator[bytes, None]:
        """The bytes of one archive as they come; `why` are X-Purpose and X-Case. Raises like `send_batch`, in the middle too."""
        headers = [(name.encode(), value.encode()) for name, value in why.items()]
        try:
            async with self._client.stream("POST", "/v1/export", json=asked, headers=headers) as response:
                if response.status_code != 200:
                    await response.aread()
                    self._fail(response)
                async for chunk in response.aiter_raw():
                    yield chunk
        except httpx2.TimeoutException as error:
            raise Unavailable(f"{self.url} did not answer in time", retry_after=1) from error
        except httpx2.HTTPError as error:
            raise Unavailable(f"the export was cut: {str(error) or type(error).__name__}", retry_after=1) from error

    async def close(self) -> None:
        """Let go of connections."""
        await self._client.aclose()

    async def _request(self, method: str, path: str, **how: Any) -> httpx2.Response:
        try:
            response = await self._client.request(method, path, **how)
        except httpx2.TimeoutException as error:
            raise Unavailable(f"{self.url} did not answer in time", retry_after=1) from error
        except httpx2.HTTPError as error:
            raise Unavailable(
                f"cannot reach {self.url}: {str(error) or type(error).__name__}", retry_after=1
            ) from error
        if response.status_code not in {200, 201}:
            self._fail(response)
        return response

    def _fail(self, response: httpx2.Response) -> NoReturn:
        status, problem = response.status_code, _problem(response)
        detail = str(problem.get("detail") or f"{self.url} answered {status} {response.reason_phrase}")
        part = problem.get("part")
        match status:
            case 401:
                raise NotSignedIn(detail)
            case 403:
                raise Forbidden(detail)
            case 409:
                first, this = str(problem.get("first_digest", "")), str(problem.get("this_digest", ""))
                raise IdentifierReused(detail, first_digest=first, this_digest=this)
            case 413:
                raise TooLarge(detail, part=part)
            case 400 | 422:
                raise BatchRefused(detail, part=part, refused=_refused(problem))
            case 429:
                raise Busy(detail, retry_after=_retry_after(response))
            case _ if status in _PASSING:
                raise Unavailable(detail, retry_after=_retry_after(response))
        raise SettingsInvalid(f"{self.url} answered {status} {response.reason_phrase}: is a vault there?")


async def _chunks(body: bytes) -> AsyncIterator[bytes]:
    whole = memoryview(body)
    for start in range(0, len(body), CHUNK_BYTES):
        yield bytes(whole[start : start + CHUNK_BYTES])


def _origin(url: str) -> str:
    parts = urlsplit(url.strip())
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise SettingsInvalid(f"the URL of a vault looks like https://vault.example:8000, not {url!r}")
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path.rstrip('/')}"


def _header_value(token: str) -> str:
    if not token.isascii() or not token.isprintable():
        raise SettingsInvalid("the token has characters that no HTTP header can carry")
    return token


def _problem(response: httpx2.Response) -> dict[str, Any]:
    try:
        return msgspec.json.decode(response.content, type=dict[str, Any])
    except msgspec.DecodeError:
        return {}


def _refused(problem: dict[str, Any]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    listed = problem.get("refused")
    return tuple(
        (str(one.get("detection_id", "")), tuple(str(reason) for reason in one.get("reasons", ())))
        for one in (listed if isinstance(listed, list) else ())
        if isinstance(one, dict)
    )


def _retry_after(response: httpx2.Response) -> int:
    """Seconds; the header may also name a date. 5 where it says nothing that can be read."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return min(int(text[:9]), 86_400)
    try:
        return max(0, round((parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()))
    except (ValueError, TypeError):
        return 5
