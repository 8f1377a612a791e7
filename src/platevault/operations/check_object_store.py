"""Look at the object store as the service, a browser and a thief of a URL would."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from platevault.domain.errors import StoreMisconfigured, StoreUnavailable, Unavailable
from platevault.infra.objectstore import NewObject
from platevault.operations.diagnosis import Finding, fine, problem, warning
from platevault.operations.http_probe import probe
from platevault.operations.image_url_test import CANARY, fault_of_image_url
from platevault.operations.installation import Installation

SKEW_WARNING: Final = timedelta(seconds=30)
SKEW_REFUSED: Final = timedelta(minutes=15)  # S3 refuses signatures past it


async def check_object_store(installation: Installation) -> list[Finding]:
    """Puts, clock, bucket, URLs and identities, in the order in which an operator would mend them."""
    found = [*await _store(installation)]
    if installation.store_url is not None:
        found += [*await _clock(installation, installation.store_url), *await _bucket(installation)]
    return [*found, *await _public_endpoint(installation), *await _presign_identity(installation)]


async def _store(installation: Installation) -> Sequence[Finding]:
    try:
        await installation.objects.check()
    except StoreMisconfigured as error:
        return [
            problem(
                "object store",
                str(error),
                "correct MINIO_ACCESS_KEY, MINIO_SECRET_KEY, MINIO_BUCKET; or run `platevault setup`",
            )
        ]
    except StoreUnavailable as error:
        return [problem("object store", str(error), "start the store, or correct MINIO_ENDPOINT and MINIO_SECURE")]
    return [fine("object store", "takes objects")]


async def _clock(installation: Installation, store_url: str) -> Sequence[Finding]:
    try:
        told = (await probe(store_url)).date
    except StoreUnavailable:
        return []  # said already
    if told is None:
        return [warning("clock", "the store does not tell its time", "compare the clocks by hand")]
    skew = abs(installation.now() - told)
    what = f"{skew.total_seconds():.0f} seconds from the store's"
    repair = "set the clock of this machine and of the store by NTP"
    if skew > SKEW_REFUSED:
        return [problem("clock", what + "; S3 refuses requests past 15 minutes", repair)]
    if skew > SKEW_WARNING:
        return [warning("clock", what, repair)]
    return [fine("clock", what)]


async def _bucket(installation: Installation) -> Sequence[Finding]:
    if installation.bucket_report is None:
        return []
    try:
        report = await installation.bucket_report()
    except Unavailable as error:
        return [
            warning("bucket", f"cannot be looked at: {error}", "run `platevault bucket check` with the admin identity")
        ]
    repair = "run `platevault bucket configure`"
    if not report.ok:
        return [problem("bucket", sentence, repair) for sentence in report.problems]
    return [fine("bucket", f"{report.bucket} and its rules are as they should be")]


async def _public_endpoint(installation: Installation) -> Sequence[Finding]:
    """A browser must get an object by its URL: one is put, fetched as a stranger would, and removed."""
    repair = (
        "correct MINIO_PUBLIC_ENDPOINT, so that it leads from a browser to the store and its Host arrives unchanged"
    )
    key = f"{installation.canary_key}_url.jpg"
    try:
        fault = await fault_of_image_url(
            key,
            objects=installation.objects,
            signer=installation.signer,
            store_url=installation.store_url or "",
            now=installation.now(),
        )
    except StoreUnavailable:
        return []  # said already
    if fault is None:
        return [fine("image URLs", "an object is given by its signed URL")]
    if fault.elsewhere:
        # Inside a container loopback is another place than for a browser on the machine.
        look = f"open {fault.origin} in a browser on the machine; any answer of the store will do"
        return [warning("image URLs", fault.reason, look)]
    return [problem("image URLs", fault.reason, repair)]


async def _presign_identity(installation: Installation) -> Sequence[Finding]:
    if installation.store_url is None:
        return []
    if installation.presigner is None:
        what = "image URLs carry the id of the service's own key"
        return [
            warning(
                "presign identity",
                what,
                "set MINIO_PRESIGN_ACCESS_KEY and MINIO_PRESIGN_SECRET_KEY; `platevault setup` makes it",
            )
        ]
    key = f"{installation.canary_key}_presign.jpg"
    try:
        await installation.presigner.create(key, NewObject(data=CANARY, content_type="image/jpeg", metadata={}))
    except StoreMisconfigured:
        return [fine("presign identity", "cannot write")]
    except StoreUnavailable:
        return []  # said already
    await installation.objects.delete(key)
    return [
        problem(
            "presign identity",
            "can write, and its key id is in every image URL",
            "give it GetObject alone: `platevault setup`",
        )
    ]
