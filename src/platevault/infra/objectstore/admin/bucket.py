"""The bucket itself, for whoever administers it: the only file that knows MinIO's SDK."""

import asyncio
import base64
import hashlib
from collections.abc import Callable, Sequence
from typing import Literal, TypeVar
from xml.etree.ElementTree import ParseError

import urllib3
from minio import Minio
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError
from urllib3.exceptions import HTTPError

from platevault.domain.errors import SettingsInvalid, StoreMisconfigured, StoreUnavailable
from platevault.domain.object_prefixes import VAULT_MARKS
from platevault.infra.objectstore.admin.bucket_xml import (
    CorsRule,
    format_cors,
    format_lifecycle,
    parse_cors,
    parse_lifecycle,
)
from platevault.infra.objectstore.admin.lifecycle import Rule
from platevault.infra.objectstore.s3.errors import NO_SUCH_BUCKET, refused, unreachable

CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 10.0
CONNECTIONS_MAX = 4

_OUR_OWN = frozenset({"BucketAlreadyOwnedByYou", "BucketAlreadyExists"})
_NOT_TAKEN = frozenset(
    {"InvalidArgument", "InvalidRequest", "InvalidStorageClass", "MalformedXML", "MethodNotAllowed", "NotImplemented"},
)
"""What servers answer to a rule that they do not know."""

_Answer = TypeVar("_Answer")


class BucketAdmin:
    """One bucket and the right to set it up. Every method tries once; errors are those of an `ObjectStore`."""

    def __init__(self, client: Minio, http: urllib3.PoolManager, *, bucket: str, region: str, base_url: str) -> None:
        self._client = client
        self._http = http
        self._base_url = base_url
        self.bucket = bucket
        self.region = region

    @classmethod
    def open(
        cls,
        *,
        endpoint: str,
        secure: bool,
        region: str,
        bucket: str,
        access_key: str,
        secret_key: str,
    ) -> "BucketAdmin":
        """An administrator of `bucket` at `endpoint` (host:port); no request is made."""
        http = urllib3.PoolManager(
            maxsize=CONNECTIONS_MAX,
            block=True,
            retries=urllib3.Retry(0),
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=ANSWER_SECONDS),
        )
        try:
            # With a region the SDK asks the server for none.
            client = Minio(
                endpoint,
                access_key=access_key,
                secret_key=secret_key,
                secure=secure,
                region=region,
                http_client=http,
            )
        except ValueError as error:
            raise SettingsInvalid(f"MINIO_ENDPOINT: must be host:port ({error})") from error
        base_url = f"{'https' if secure else 'http'}://{endpoint}"
        return cls(client, http, bucket=bucket, region=region, base_url=base_url)

    async def exists(self) -> bool:
        """True when the bucket is there and is ours to use."""
        return await self._ask("look for", lambda: self._client.bucket_exists(self.bucket))

    async def create(self) -> bool:
        """Make the bucket, private; False when it was there by now."""

        def make(*, again: bool) -> bool:
            try:
                self._client.make_bucket(self.bucket, self.region)
            except S3Error as error:
                if error.code in _OUR_OWN:
                    return False
                if error.code == NO_SUCH_BUCKET and again:  # SeaweedFS, now and then, to one of two who make it at once
                    return make(again=False)
                raise
            return True

        return await self._ask("create", lambda: make(again=True))

    async def read_lifecycle(self) -> tuple[Rule, ...]:
        """All rules that the server holds, its own spelling included."""
        document = await self._ask(
            "read the lifecycle of",
            lambda: self._read("lifecycle", absent="NoSuchLifecycleConfiguration"),
        )
        return () if document is None else parse_lifecycle(document)

    async def write_lifecycle(self, rules: Sequence[Rule]) -> str | None:
        """Replace all rules. None when the server took them, else its reason: then the old ones stand."""
        document = format_lifecycle(rules)
        return await self._ask("write the lifecycle of", lambda: self._write("lifecycle", document))

    async def read_cors(self) -> tuple[CorsRule, ...]:
        """Which pages the bucket lets read; none on a server that knows no CORS by bucket."""
        document = await self._ask(
            "read the CORS rules of", lambda: self._read("cors", absent="NoSuchCORSConfiguration")
        )
        return () if document is None else parse_cors(document)

    async def write_cors(self, rules: Sequence[CorsRule], origins: Sequence[str]) -> str | None:
        """Replace all rules by `rules` and one for `origins`. None when the server took them, else its reason."""
        document = format_cors(rules, origins)
        return await self._ask("write the CORS rules of", lambda: self._write("cors", document))

    async def anonymous_access(self) -> bool:
        """True when somebody without credentials can list or read in the bucket."""

        def knock() -> bool:
            # Who may not read gets 403 for an absent key too; whoever gets 404 could have read it.
            paths = (f"{VAULT_MARKS.name}anonymous-check", "?list-type=2&max-keys=1")
            return any(
                self._http.request("GET", f"{self._base_url}/{self.bucket}/{path}").status in {200, 404}
                for path in paths
            )

        return await self._ask("look at the privacy of", knock)

    async def versioning(self) -> Literal["off", "enabled", "suspended"]:
        """Whether deleted objects stay on as old versions."""
        found = await self._ask("read the versioning of", lambda: self._client.get_bucket_versioning(self.bucket))
        if found.status == "Enabled":
            return "enabled"
        return "suspended" if found.status == "Suspended" else "off"

    def close(self) -> None:
        """Let go of connections."""
        self._http.clear()

    def _read(self, what: str, *, absent: str) -> bytes | None:
        # The SDK's own rule classes drop what they do not know; an operator's rule must come back as it was.
        try:
            return bytes(self._client._execute("GET", self.bucket, query_params={what: ""}).data)  # noqa: SLF001 - as above
        except S3Error as error:
            if error.code == absent or error.code in _NOT_TAKEN:
                return None
            raise

    def _write(self, what: str, document: bytes) -> str | None:
        digest = base64.b64encode(hashlib.md5(document, usedforsecurity=False).digest()).decode()
        try:
            self._client._execute(  # noqa: SLF001 - see _read
                "PUT",
                self.bucket,
                body=document,
                headers={"Content-MD5": digest},
                query_params={what: ""},
            )
        except S3Error as error:
            if error.code in _NOT_TAKEN:
                return error.code
            raise
        return None

    async def _ask(self, doing: str, work: Callable[[], _Answer]) -> _Answer:
        what = f"{doing} bucket {self.bucket}"
        try:
            return await asyncio.to_thread(work)
        except S3Error as error:
            raise refused(what, status=error.response.status, code=error.code) from error
        except (ServerError, InvalidResponseError) as error:
            raise refused(what, status=_status_of(error), code=None) from error
        except HTTPError as error:
            raise unreachable(what, error) from error
        except (MinioException, ParseError) as error:
            raise StoreUnavailable(f"could not {what}: the answer is not S3") from error
        except ValueError as error:
            raise StoreMisconfigured(f"could not {what}: {error}") from error


def _status_of(error: ServerError | InvalidResponseError) -> int | None:
    return getattr(error, "status_code", None) or getattr(error, "_code", None)
