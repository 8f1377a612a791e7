"""The remote tiers of a MinIO server, through its admin API (madmin's TierConfig, version v1)."""

import asyncio
import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import urllib3
from minio import MinioAdmin
from minio.credentials.providers import StaticProvider
from minio.crypto import encrypt
from minio.error import MinioAdminException

from platevault.domain.errors import StoreMisconfigured, StoreUnavailable
from platevault.infra.objectstore.admin.identities import ANSWER_SECONDS, CONNECT_SECONDS, code_of
from platevault.infra.objectstore.admin.tier import RemoteTier

_Answer = TypeVar("_Answer")

# MinIO tries a tier with one object of one name, and writes its list of tiers without asking who else does: of two at once
# one may find the other's object, miss its own, or find its tier gone.
_AT_ONCE: Final = "somebody defines or tries it at this moment: run it again"
_REPAIRS: Final = {
    "XMinioAdminTierNameNotUpperCase": "TIER_NAME must be in capitals",
    "XMinioAdminTierAlreadyExists": (
        "somebody defined it at this moment: run it again; or it is of a kind that Platevault does not know: choose another TIER_NAME"
    ),
    "XMinioAdminTierReserved": "TIER_NAME is a word of the server's own: choose another",
    "XMinioAdminTierBackendInUse": (
        "there are objects under TIER_BUCKET and TIER_PREFIX already, perhaps another server's: choose an empty prefix;"
        f" or {_AT_ONCE}"
    ),
    "XMinioAdminTierBucketNotFound": "TIER_BUCKET is not there: make it on the other server, private and without lifecycle",
    "XMinioAdminTierInvalidCredentials": "the other server refuses TIER_ACCESS_KEY and TIER_SECRET_KEY",
    "XMinioAdminTierInsufficientPermissions": (
        "the other server refuses what was tried: TIER_BUCKET must be there, and TIER_ACCESS_KEY with TIER_SECRET_KEY may get,"
        f" put and delete objects in it; or {_AT_ONCE}"
    ),
    "XMinioAdminTierNotFound": f"it is not defined: {_AT_ONCE}",
    "XMinioBackendDown": "TIER_ENDPOINT does not answer the server (it must be the URL that the server reaches)",
    "AccessDenied": "MINIO_ADMIN_ACCESS_KEY may not set tiers: it needs admin:SetTier and admin:ListTier",
}
_NOT_THERE: Final = "PLATEVAULT-NO-SUCH-TIER"
_NO_TIERS: Final = (
    "this server has no remote tiers (MinIO's admin API does not answer): on AWS, TIER_NAME is a storage class such as"
    " GLACIER_IR and nothing has to be defined; SeaweedFS and Garage cannot move objects, leave TIER_NAME empty"
)


@dataclass(frozen=True, slots=True)
class _Command:
    """What follows /minio/admin/v3/ in the URL; the SDK's own list of commands has no tiers."""

    value: str


class TierAdmin:
    """Defines, lists and tries tiers. Raises `StoreUnavailable`, or `StoreMisconfigured` that says what to change."""

    def __init__(self, admin: MinioAdmin, *, secret_key: str) -> None:
        self._admin = admin
        self._secret_key = secret_key

    @classmethod
    def open(cls, *, endpoint: str, secure: bool, region: str, access_key: str, secret_key: str) -> "TierAdmin":
        """An administrator of the server at `endpoint` (host:port); no request is made."""
        http = urllib3.PoolManager(
            retries=urllib3.Retry(0),
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=ANSWER_SECONDS),
        )
        credentials = StaticProvider(access_key, secret_key)
        admin = MinioAdmin(endpoint=endpoint, credentials=credentials, region=region, secure=secure, http_client=http)
        return cls(admin, secret_key=secret_key)

    async def list(self) -> tuple[RemoteTier, ...]:
        """The tiers of the kinds that we know, by name; asks nothing of other servers. Secrets are not among the answers."""
        answer = await self._ask("list the tiers", lambda: self._request("GET", "tier"))
        try:
            found = json.loads(answer) or []
            tiers = [_tier(each) for each in found if str(each["Type"]) in ("minio", "s3")]
        except (ValueError, KeyError, TypeError):
            raise StoreMisconfigured(_NO_TIERS) from None
        return tuple(sorted(tiers, key=lambda tier: tier.name))

    async def add(self, tier: RemoteTier, *, access_key: str, secret_key: str) -> None:
        """The server can move objects there; it has put, read and deleted one to see that it can."""
        part = {
            "Endpoint": tier.endpoint,
            "AccessKey": access_key,
            "SecretKey": secret_key,
            "Bucket": tier.bucket,
            "Prefix": tier.prefix,
            "Region": tier.region,
        }
        kind = {"minio": "MinIO", "s3": "S3"}[tier.kind]
        config = {"Version": "v1", "Type": tier.kind, "Name": tier.name, kind: part}
        await self._ask(f"define tier {tier.name}", lambda: self._request("PUT", "tier", config))

    async def give_key(self, name: str, *, access_key: str, secret_key: str) -> None:
        """The server uses this key from now on for the tier, and has tried it; a refused one changes nothing."""
        key = {"access": access_key, "secret": secret_key}
        try:
            await self._ask(f"give tier {name} its key", lambda: self._request("POST", f"tier/{name}", key))
        except StoreMisconfigured:
            # MinIO keeps a refused key in memory and can neither move nor read with it. It reads its tiers from disk again
            # whenever somebody edits one, also one that is not there.
            with contextlib.suppress(StoreMisconfigured, StoreUnavailable):
                await self._ask("go back to the key before", lambda: self._request("POST", f"tier/{_NOT_THERE}", key))
            raise

    async def verify(self, name: str) -> None:
        """The server has just put, read and deleted an object there."""
        await self._ask(f"try tier {name}", lambda: self._request("GET", f"tier/{name}"))

    def _request(self, method: str, path: str, content: dict[str, Any] | None = None) -> bytes:
        body = None if content is None else encrypt(json.dumps(content).encode(), self._secret_key)
        command: Any = _Command(path)
        answer = self._admin._url_open(method=method, command=command, body=body)  # noqa: SLF001 - see _Command
        return bytes(answer.data)

    async def _ask(self, doing: str, work: Callable[[], _Answer]) -> _Answer:
        try:
            return await asyncio.to_thread(work)
        except MinioAdminException as error:
            code = code_of(error)
            if code == "an error":  # no JSON: not this API
                raise StoreMisconfigured(f"could not {doing}: {_NO_TIERS}") from None
            raise StoreMisconfigured(
                f"could not {doing}: {_REPAIRS.get(code, f'the server answered {code}')}"
            ) from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise StoreUnavailable(f"could not {doing}: the server's admin API did not answer") from error


def _tier(config: dict[str, Any]) -> RemoteTier:
    part = config["MinIO" if config["Type"] == "minio" else "S3"]
    return RemoteTier(
        name=str(config["Name"]),
        kind=config["Type"],
        endpoint=str(part["Endpoint"]),
        bucket=str(part["Bucket"]),
        prefix=str(part.get("Prefix", "")),
        region=str(part.get("Region", "")),
    )
