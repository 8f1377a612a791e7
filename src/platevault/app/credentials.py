"""Credentials of the settings, one `Key` for each identity of the object store."""

from pydantic import SecretStr

from platevault.infra.objectstore.admin.policies import PRESIGN, SERVICE, UPLOAD
from platevault.provisioning.setup import Key
from platevault.settings import Settings


def revealed(secret: SecretStr | None) -> str:
    """Return the text of a secret; an empty text if it is not set."""
    return "" if secret is None else secret.get_secret_value()


def identity_keys(settings: Settings) -> dict[str, Key]:
    """Return identity → credential, of those that are set."""
    given = {
        SERVICE: (settings.minio_access_key, settings.minio_secret_key),
        PRESIGN: (settings.minio_presign_access_key, settings.minio_presign_secret_key),
        UPLOAD: (settings.minio_upload_access_key, settings.minio_upload_secret_key),
    }
    return {
        name: Key(access_key=access_key, secret_key=revealed(secret_key))
        for name, (access_key, secret_key) in given.items()
        if access_key is not None and secret_key is not None
    }


def service_key(settings: Settings) -> Key:
    """Return the key of the service identity."""
    return _key(settings.minio_access_key, settings.minio_secret_key)


def presign_key(settings: Settings) -> Key:
    """Return the key that signs URLs: the presign identity's, or the service's if there is none."""
    if settings.minio_presign_access_key is None:
        return service_key(settings)
    return _key(settings.minio_presign_access_key, settings.minio_presign_secret_key)


def admin_key(settings: Settings) -> Key:
    """Return the key that sets up the bucket: the administrator's, or the service's if there is none."""
    if settings.minio_admin_access_key is None:
        return service_key(settings)
    return _key(settings.minio_admin_access_key, settings.minio_admin_secret_key)


def tier_key(settings: Settings) -> Key:
    """Return the key of the bucket behind the cold tier."""
    return _key(settings.tier_access_key, settings.tier_secret_key)


def _key(access_key: str | None, secret_key: SecretStr | None) -> Key:
    return Key(access_key=access_key or "", secret_key=revealed(secret_key))
