"""Open the object store of the settings, its URL signers, and the admins of bucket, identities and tiers."""

import functools
from datetime import timedelta
from typing import Final

from platevault.app.clock import now
from platevault.app.credentials import admin_key, identity_keys, presign_key, revealed, service_key, tier_key
from platevault.catalog.image_storage import ImageStorage
from platevault.domain.errors import SettingsInvalid
from platevault.infra.disk.reserve import DiskRoom
from platevault.infra.disk.syncfs import sync_folder_tree
from platevault.infra.objectstore import ObjectStore, UrlSigner
from platevault.infra.objectstore.admin.bucket import BucketAdmin
from platevault.infra.objectstore.admin.identities import IdentityAdmin
from platevault.infra.objectstore.admin.lifecycle import OuterBound, Tier
from platevault.infra.objectstore.admin.policies import UPLOAD
from platevault.infra.objectstore.admin.tier import RemoteTier
from platevault.infra.objectstore.admin.tiers import TierAdmin
from platevault.infra.objectstore.admin.watched_bucket import WatchedBucket
from platevault.infra.objectstore.local import LocalStore, LocalUrlSigner
from platevault.infra.objectstore.s3.presign import S3UploadSigner, S3UrlSigner, SigningIdentity
from platevault.infra.objectstore.s3.store import S3Store
from platevault.provisioning.setup import Key
from platevault.settings import Settings

_NEEDED_FOR_A_TIER: Final = ("tier_name", "tier_endpoint", "tier_bucket", "tier_access_key", "tier_secret_key")


def open_objects(settings: Settings) -> ObjectStore:
    """Open the object store of the settings, with the service identity."""
    if settings.storage_backend == "local":
        return LocalStore.open(settings.local_storage_dir, disk_reserve_bytes=settings.disk_reserve_bytes)
    return _open_s3(settings, service_key(settings))


def open_presigner(settings: Settings) -> ObjectStore | None:
    """Open the store with the identity that may only read; None if there is no such identity."""
    if settings.storage_backend != "s3" or settings.minio_presign_access_key is None:
        return None
    return _open_s3(settings, presign_key(settings))


def _open_s3(settings: Settings, key: Key) -> S3Store:
    sync = None if settings.storage_sync_dir is None else functools.partial(sync_folder_tree, settings.storage_sync_dir)
    store = S3Store.open(
        endpoint=settings.minio_endpoint or "",
        secure=settings.minio_secure,
        region=settings.minio_region,
        bucket=settings.minio_bucket,
        access_key=key.access_key,
        secret_key=key.secret_key,
        sync=sync,
    )
    room = open_store_room(settings)
    return store if room is None else store.within(room)


def open_store_room(settings: Settings) -> DiskRoom | None:
    """Return the room on the disk of an S3 server of this machine; None if the server is elsewhere."""
    folder = settings.storage_sync_dir
    return None if folder is None else DiskRoom(folder, reserve_bytes=settings.disk_reserve_bytes)


def open_image_storage(settings: Settings) -> ImageStorage:
    """Open the images for a program without the service: the same store, keys and URLs."""
    return ImageStorage(
        objects=open_objects(settings),
        signer=open_signer(settings),
        now=now,
        valid_for=settings.url_valid_for,
        valid_for_at_most=timedelta(minutes=settings.image_max_url_expiry_minutes),
        keep_for=timedelta(days=settings.image_retention_days),
        image_types=frozenset(settings.image_types),
    )


def open_signer(settings: Settings) -> UrlSigner:
    """Open the signer of GET URLs, for the origin that browsers reach, with the identity that may only read."""
    if settings.serves_images:
        return LocalUrlSigner(
            public_url=settings.image_origin or "", signing_key=revealed(settings.url_signing_key).encode()
        )
    return S3UrlSigner(
        public_endpoint=settings.image_origin or "",
        bucket=settings.minio_bucket,
        identity=_signing(settings, presign_key(settings)),
    )


def open_upload_signer(settings: Settings) -> S3UploadSigner | None:
    """Open the signer of PUT URLs under `temp/`; None without S3 or without an upload identity."""
    key = identity_keys(settings).get(UPLOAD)
    if settings.storage_backend != "s3" or key is None:
        return None
    return S3UploadSigner(
        public_endpoint=settings.minio_public_endpoint or store_origin(settings),
        bucket=settings.minio_bucket,
        identity=_signing(settings, key),
    )


def store_origin(settings: Settings) -> str:
    """Return the origin of the S3 server as the service reaches it."""
    return f"{'https' if settings.minio_secure else 'http'}://{settings.minio_endpoint}"


def _signing(settings: Settings, key: Key) -> SigningIdentity:
    return SigningIdentity(access_key=key.access_key, secret_key=key.secret_key, region=settings.minio_region)


def open_bucket_admin(settings: Settings) -> BucketAdmin:
    """Open the bucket with the administrator's key, if one is set. Raises `SettingsInvalid` without S3."""
    if settings.storage_backend != "s3":
        raise SettingsInvalid("STORAGE_BACKEND=local has no bucket: there is nothing to configure")
    key = admin_key(settings)
    return BucketAdmin.open(
        endpoint=settings.minio_endpoint or "",
        secure=settings.minio_secure,
        region=settings.minio_region,
        bucket=settings.minio_bucket,
        access_key=key.access_key,
        secret_key=key.secret_key,
    )


def open_watched_bucket(settings: Settings) -> WatchedBucket | None:
    """Open the bucket together with its wanted configuration; None without S3."""
    if settings.storage_backend != "s3":
        return None
    admin = open_bucket_admin(settings)
    return WatchedBucket(admin=admin, bound=outer_bound(settings), cors_origins=settings.cors_origins)


def outer_bound(settings: Settings) -> OuterBound:
    """Return the lifecycle rules of the settings; the longest retention class completes them."""
    tier = None if settings.tier_name is None else Tier(name=settings.tier_name, after_days=settings.tier_after_days)
    return OuterBound(
        default_days=settings.image_retention_days,
        margin_days=settings.lifecycle_margin_days,
        tier=tier,
    )


def open_identity_admin(settings: Settings) -> IdentityAdmin | None:
    """Open the identities of a MinIO server; None if the administrator's key is not set."""
    if settings.minio_admin_access_key is None:
        return None
    key = admin_key(settings)
    return IdentityAdmin.open(
        endpoint=settings.minio_endpoint or "",
        secure=settings.minio_secure,
        region=settings.minio_region,
        access_key=key.access_key,
        secret_key=key.secret_key,
    )


def open_tier_admin(settings: Settings) -> TierAdmin:
    """Open the tiers of a MinIO server. Raises `SettingsInvalid` if the administrator's key is not set."""
    if settings.storage_backend != "s3" or settings.minio_admin_access_key is None:
        raise SettingsInvalid(
            "MINIO_ADMIN_ACCESS_KEY, MINIO_ADMIN_SECRET_KEY: set them, tiers are for MinIO's administrator"
        )
    key = admin_key(settings)
    return TierAdmin.open(
        endpoint=settings.minio_endpoint or "",
        secure=settings.minio_secure,
        region=settings.minio_region,
        access_key=key.access_key,
        secret_key=key.secret_key,
    )


def remote_tier(settings: Settings) -> tuple[RemoteTier, Key]:
    """Return the cold tier and its key. Raises `SettingsInvalid` that names the missing settings."""
    if missing := [name.upper() for name in _NEEDED_FOR_A_TIER if getattr(settings, name) is None]:
        raise SettingsInvalid(f"not set, and needed for the tier: {', '.join(missing)}")
    tier = RemoteTier(
        name=settings.tier_name or "",
        kind=settings.tier_type,
        endpoint=settings.tier_endpoint or "",
        bucket=settings.tier_bucket or "",
        prefix=settings.tier_prefix,
        region=settings.tier_region,
    )
    return tier, tier_key(settings)
