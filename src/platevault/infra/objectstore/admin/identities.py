"""The identities of a MinIO server, made through its admin API: the other file that imports MinIO's SDK."""

import asyncio
import json
from collections.abc import Callable
from typing import Any, Final, TypeVar

import stamina
import urllib3
from minio import MinioAdmin
from minio.credentials.providers import StaticProvider
from minio.error import MinioAdminException

from platevault.domain.errors import StoreMisconfigured, StoreUnavailable

CONNECT_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 15.0

_ALREADY: Final = "PolicyChangeAlreadyApplied"
_NOT_THERE: Final = frozenset({"XMinioAdminNoSuchPolicy", "XMinioAdminNoSuchUser"})
ATTEMPTS: Final = 5

_Answer = TypeVar("_Answer")


class _Forgotten(Exception):
    """What was made a moment ago is not there: a server that has just started may still load over it what it had before."""


class IdentityAdmin:
    """Makes users and their policies; raises `StoreUnavailable`, or `StoreMisconfigured` where the
    server refuses or has no such API.
    """

    def __init__(self, admin: MinioAdmin) -> None:
        self._admin = admin

    @classmethod
    def open(cls, *, endpoint: str, secure: bool, region: str, access_key: str, secret_key: str) -> "IdentityAdmin":
        """An administrator of the server at `endpoint` (host:port); no request is made."""
        http = urllib3.PoolManager(
            retries=urllib3.Retry(0),
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=ANSWER_SECONDS),
        )
        credentials = StaticProvider(access_key, secret_key)
        return cls(
            MinioAdmin(endpoint=endpoint, credentials=credentials, region=region, secure=secure, http_client=http),
        )

    async def ensure(self, *, policy_name: str, policy: dict[str, Any], access_key: str, secret_key: str) -> None:
        """The user exists with this secret and this policy afterwards, as it does when it was so before."""
        try:
            async for attempt in stamina.retry_context(
                on=_Forgotten, attempts=ATTEMPTS, timeout=20.0, wait_initial=0.5
            ):
                with attempt:
                    await self._ask(
                        f"write policy {policy_name}", lambda: self._admin.policy_add(policy_name, policy=policy)
                    )
                    await self._ask(
                        f"make user for {policy_name}", lambda: self._admin.user_add(access_key, secret_key)
                    )
                    await self._ask(f"attach policy {policy_name}", lambda: self._attach(policy_name, access_key))
        except _Forgotten as error:
            raise StoreMisconfigured(str(error)) from None

    def _attach(self, policy_name: str, access_key: str) -> str:
        try:
            return str(self._admin.attach_policy([policy_name], user=access_key))
        except MinioAdminException as error:
            if _ALREADY in code_of(error):
                return ""
            raise

    async def _ask(self, doing: str, work: Callable[[], _Answer]) -> _Answer:
        try:
            return await asyncio.to_thread(work)
        except MinioAdminException as error:
            kind = _Forgotten if code_of(error) in _NOT_THERE else StoreMisconfigured
            raise kind(f"could not {doing}: the server's admin API answered {code_of(error)}") from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise StoreUnavailable(f"could not {doing}: the server's admin API did not answer") from error


def code_of(error: MinioAdminException) -> str:
    """The server's own code; its whole answer may hold an access key."""
    text = str(error)
    start = text.find("{")
    try:
        return str(json.loads(text[start : text.rfind("}") + 1])["Code"])
    except (ValueError, KeyError, TypeError):
        return "an error"
