"""Test of image URLs as a browser uses them: at start, and again until it passes."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

import structlog

from platevault.domain.error_chain import names_of
from platevault.domain.errors import StoreUnavailable
from platevault.infra.objectstore import NewObject, ObjectStore, UrlSigner
from platevault.operations.http_probe import probe

log = structlog.get_logger(__name__)

CANARY: Final = b"\xff\xd8\xff platevault doctor"
VALID_FOR: Final = timedelta(minutes=5)
FIRST_PAUSE_SECONDS: Final = 5.0
PAUSE_AT_MOST_SECONDS: Final = 60.0
HOUR_SECONDS: Final = 3600.0
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Why a signed URL does not give its object. `elsewhere`: it leads to loopback, which is another place for a browser."""

    reason: str
    origin: str
    elsewhere: bool = False


@dataclass(kw_only=True)
class ImageUrlTest:
    """Dependencies of the test, and its last result: `reason` is None while no fault is known.

    It sees the URL from the network of the service. `store_url` is the store as the service reaches it.
    """

    objects: ObjectStore
    signer: UrlSigner
    store_url: str
    new_key: Callable[[], str]
    now: Callable[[], datetime]
    reason: str | None = field(default=None, init=False)

    async def keep_testing(self) -> None:
        """Never returns; cancel it. Until the test passes it is repeated after pauses of 5 to 60 seconds, then hourly."""
        while True:
            await self.until_it_passes()
            await asyncio.sleep(HOUR_SECONDS)

    async def until_it_passes(self) -> None:
        """Test, and test again after a pause that grows up to a minute."""
        pause = FIRST_PAUSE_SECONDS
        while not await self.test():
            await asyncio.sleep(pause)
            pause = min(2 * pause, PAUSE_AT_MOST_SECONDS)

    async def test(self) -> bool:
        """Test once. Returns True if nothing is left to test."""
        key = self.new_key()
        try:
            fault = await fault_of_image_url(
                key, objects=self.objects, signer=self.signer, store_url=self.store_url, now=self.now()
            )
        except StoreUnavailable as error:  # another check reports the store
            log.info("image URLs not tested yet", error=names_of(error))
            return False
        if fault is None or fault.elsewhere:
            self.reason = None
            return True
        if self.reason is None:
            log.warning("image URLs cannot be reached", origin=fault.origin, why=fault.reason)
        self.reason = f"{fault.reason}: correct MINIO_PUBLIC_ENDPOINT, or the network (seen from the service)"
        return False


async def fault_of_image_url(
    key: str, *, objects: ObjectStore, signer: UrlSigner, store_url: str, now: datetime
) -> Fault | None:
    """Put an object, fetch it by its signed URL as a stranger would, and remove it. Raises `StoreUnavailable` if the store takes no put."""
    await objects.create(key, NewObject(data=CANARY, content_type="image/jpeg", metadata={}))
    url = signer.sign(key, valid_for=VALID_FOR, now=now).url
    origin = url.partition("?")[0].removesuffix(key)
    try:
        got = await probe(url)
    except StoreUnavailable as error:
        elsewhere = urlsplit(url).hostname in _LOOPBACK and urlsplit(store_url).hostname not in _LOOPBACK
        return Fault(reason=f"{origin} cannot be reached from here: {error}", origin=origin, elsewhere=elsewhere)
    finally:
        await objects.delete(key)
    if got.body != CANARY:
        return Fault(reason=f"{origin} answered {got.status} to a signed URL", origin=origin)
    return None
