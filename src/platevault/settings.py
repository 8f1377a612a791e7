"""Every variable that Platevault reads, checked once at start; an error names the variable and the fix."""

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from platevault import secret_files, setting_rules
from platevault.domain.errors import InvalidRequest, SettingsInvalid
from platevault.renditions.variants import Variants

MEBI: Final = 1024 * 1024
TOKEN_MIN: Final = 16
_SECRET: Final = "********"  # noqa: S105  what a secret is shown as
_TYPES: Final = ("image/jpeg", "image/png", "image/webp", "image/avif", "image/tiff")

Words = Annotated[tuple[str, ...], NoDecode]


class Settings(BaseSettings):
    """The effective configuration. Field names in upper case are the variables; an empty value counts as not set."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True)

    # Object store
    storage_backend: Annotated[Literal["s3", "local"], Field(description="s3, or local: a folder of this node")] = "s3"
    minio_endpoint: Annotated[str | None, Field(description="host:port that the service talks to")] = None
    minio_public_endpoint: Annotated[
        str | None,
        Field(description="scheme://host[:port] that browsers reach; URLs are signed for it"),
    ] = None
    minio_access_key: Annotated[
        str | None, Field(description="the service identity: objects of this bucket, no more")
    ] = None
    minio_secret_key: SecretStr | None = None
    minio_presign_access_key: Annotated[
        str | None,
        Field(description="may only GetObject: a presigned URL publishes its key id"),
    ] = None
    minio_presign_secret_key: SecretStr | None = None
    minio_upload_access_key: Annotated[
        str | None,
        Field(description="may only PutObject under temp/; without it direct upload is off"),
    ] = None
    minio_upload_secret_key: SecretStr | None = None
    minio_admin_access_key: Annotated[
        str | None,
        Field(
            description="for `platevault bucket` alone: may create and configure the bucket; the service never needs it"
        ),
    ] = None
    minio_admin_secret_key: SecretStr | None = None
    minio_bucket: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")] = "alpr-images"
    minio_region: Annotated[str, Field(min_length=1)] = "us-east-1"
    minio_secure: Annotated[bool, Field(description="https to MINIO_ENDPOINT")] = True
    local_storage_dir: Path = Path("./data/images")
    storage_sync_dir: Annotated[
        Path | None,
        Field(description="folder to sync where the S3 server on this machine does not sync by itself"),
    ] = None

    # Links
    image_url_expiry_minutes: Annotated[int, Field(ge=1, le=10_080)] = 15
    image_max_url_expiry_minutes: Annotated[int, Field(ge=1, le=10_080)] = 60
    url_signing_key: Annotated[
        SecretStr | None, Field(description="the same on all nodes; signs cookies and local URLs")
    ] = None

    image_delivery: Annotated[
        Literal["redirect", "proxy"],
        Field(
            description="redirect: browsers fetch from the store; proxy: through the service, where they cannot reach it"
        ),
    ] = "redirect"
    cors_origins: Annotated[
        Words,
        Field(
            description="origins of other web applications that may call the API and show images; separated by commas"
        ),
    ] = ()

    # Keeping
    image_retention_days: Annotated[int, Field(ge=1, le=36_500)] = 365
    lifecycle_margin_days: Annotated[int, Field(ge=1, le=3650)] = 30
    clock_suspect_days: Annotated[int, Field(ge=1, le=36_500)] = 31
    image_types: Annotated[Words, Field(description="accepted, by their bytes; separated by commas")] = ("image/jpeg",)
    image_variants: Annotated[
        str,
        Field(
            description='JSON: named pictures made of each image; with "at_ingest":true by the worker, else when asked for'
        ),
    ] = '{"thumb":{"width":320,"height":320,"format":"webp","quality":75}}'
    image_metadata_location: Annotated[
        bool, Field(description="whether the facts of an image tell where it was taken")
    ] = False

    # Tiering
    tier_name: Annotated[
        str | None,
        Field(
            pattern=r"^[A-Z0-9][A-Z0-9_-]{0,62}$",
            description="where full images move when they are older: a MinIO tier, or a storage class of AWS; empty: nowhere",
        ),
    ] = None
    tier_after_days: Annotated[int, Field(ge=1, le=36_500)] = 90
    tier_type: Annotated[
        Literal["minio", "s3"], Field(description="for `platevault bucket tier` alone, like all that follow")
    ] = "minio"
    tier_endpoint: Annotated[
        str | None, Field(description="URL of the cold server, as the MinIO server reaches it")
    ] = None
    tier_bucket: Annotated[str | None, Field(description="on the cold server; it must be there")] = None
    tier_prefix: Annotated[str, Field(description="nothing else may be under it")] = ""
    tier_region: Annotated[str, Field(min_length=1)] = "us-east-1"
    tier_access_key: Annotated[
        str | None, Field(description="may get, put and delete objects of TIER_BUCKET on the cold server")
    ] = None
    tier_secret_key: SecretStr | None = None

    # Database
    database_url: Annotated[SecretStr | None, Field(description="postgresql+asyncpg://user:password@host/name")] = None
    db_pool_size: Annotated[int, Field(ge=2, le=200)] = 10

    # Spool and limits
    spool_dir: Annotated[
        Path, Field(description="a local disk that survives a power cut; never a network file system")
    ] = Path(
        "./data/spool",
    )
    spool_max_bytes: Annotated[int, Field(ge=MEBI)] = 5 * 1024 * MEBI
    spool_dead_max_bytes: Annotated[
        int,
        Field(
            ge=0,
            description="of images that the object store refuses for good and batches that cannot be read, beside SPOOL_MAX_BYTES",
        ),
    ] = 1024 * MEBI
    disk_reserve_bytes: Annotated[
        int | None,
        Field(
            ge=0,
            description="stay free on each local disk, for PostgreSQL; empty: 5 % of it, 256 MiB at least, 1 GiB at most; 0: none",
        ),
    ] = None
    upload_memory_bytes: Annotated[int, Field(ge=0)] = 32 * MEBI
    delivery_memory_bytes: Annotated[int, Field(ge=MEBI)] = 32 * MEBI
    max_batch_detections: Annotated[int, Field(ge=1, le=2000)] = 200
    max_batch_bytes: Annotated[int, Field(ge=64 * 1024)] = 64 * MEBI
    max_image_bytes: Annotated[int, Field(ge=1024)] = 16 * MEBI

    # Backups
    backup_dir: Annotated[
        Path | None, Field(description="folder of `platevault backup --out`, whose age `doctor` examines")
    ] = None
    backup_recipient: Annotated[
        str | None, Field(description="age1…: new backups are encrypted to these public keys; separated by commas")
    ] = None
    backup_key_file: Annotated[
        Path | None, Field(description="file of such public keys, one a line; never a secret key")
    ] = None
    backup_identity_file: Annotated[
        Path | None,
        Field(
            description="file of the secret key, to restore and verify; keep it away from this machine and the backups"
        ),
    ] = None
    backup_grace_days: Annotated[
        int, Field(ge=0, description="days that a backup may be older than the shortest retention class")
    ] = 35

    # Access
    collector_token: Annotated[SecretStr | None, Field(description="bearer token of collectors")] = None
    viewer_token: Annotated[SecretStr | None, Field(description="bearer token of people and programs that read")] = None
    admin_token: Annotated[
        SecretStr | None,
        Field(description="bearer token of who may also delete; without it nobody deletes on request"),
    ] = None
    metrics_token: Annotated[
        SecretStr | None, Field(description="bearer token of Prometheus; without it /metrics is off")
    ] = None
    purpose_required: Annotated[bool, Field(description="reads without X-Purpose get 403")] = False

    # Serving
    public_url: Annotated[
        str | None, Field(description="scheme://host[:port] under which browsers reach the service")
    ] = None
    trusted_proxies: Annotated[Words, Field(description="addresses whose X-Forwarded-* headers count")] = ()
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8000
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    platevault_embedded: Annotated[bool, Field(exclude=True)] = False
    platevault_embedded_states: Annotated[Path | None, Field(exclude=True)] = None

    @field_validator("image_types", "trusted_proxies", "cors_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(word.strip() for word in value.split(",") if word.strip()) if isinstance(value, str) else value

    @field_validator("image_types")
    @classmethod
    def _known_types(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or set(value) - set(_TYPES):
            raise ValueError("choose from " + ", ".join(_TYPES))
        return value

    @field_validator("image_variants")
    @classmethod
    def _known_variants(cls, value: str) -> str:
        try:
            Variants.parse(value)
        except InvalidRequest as error:
            raise ValueError(str(error)) from error
        return value

    @field_validator("minio_endpoint")
    @classmethod
    def _host_and_port(cls, value: str | None) -> str | None:
        return None if value is None else setting_rules.host_and_port(value)

    @field_validator("minio_public_endpoint", "public_url", "tier_endpoint")
    @classmethod
    def _origin(cls, value: str | None) -> str | None:
        return None if value is None else setting_rules.origin(value)

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        setting_rules.origins(value)
        return value

    @field_validator("database_url")
    @classmethod
    def _driver(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            setting_rules.database_url(value.get_secret_value())
        return value

    @model_validator(mode="after")
    def _together(self) -> Self:
        if faults := tuple(self._faults()):
            raise ValueError("\n".join(faults))
        return self

    def _faults(self) -> Iterator[str]:
        yield from self._copied()
        yield from self._missing()
        if self.image_url_expiry_minutes > self.image_max_url_expiry_minutes:
            yield "IMAGE_URL_EXPIRY_MINUTES is more than IMAGE_MAX_URL_EXPIRY_MINUTES: lower it, or raise the other"
        if self.max_image_bytes > self.max_batch_bytes or self.max_batch_bytes > self.spool_max_bytes:
            yield "MAX_IMAGE_BYTES must fit into MAX_BATCH_BYTES, and that into SPOOL_MAX_BYTES"
        if (self.public_url or "").startswith("https:") and (self.image_origin or "").startswith("http:"):
            yield (
                "PUBLIC_URL is https and image URLs would be http, which browsers block as mixed content:"
                " set MINIO_PUBLIC_ENDPOINT to an https address of the store"
            )

    def _copied(self) -> Iterator[str]:
        """Nothing starts with the values of `.env.example`."""
        for name in type(self).model_fields:
            value = getattr(self, name)
            plain = value.get_secret_value() if isinstance(value, SecretStr) else value
            if isinstance(plain, str) and plain.startswith("<"):
                yield f"{name.upper()} is still the word of .env.example: {_HOW.get(name.upper(), 'put your own value there')}"

    def _missing(self) -> Iterator[str]:
        needed: dict[str, object] = {"DATABASE_URL": self.database_url}
        if self.storage_backend == "s3":
            needed |= {
                "MINIO_ENDPOINT": self.minio_endpoint,
                "MINIO_ACCESS_KEY": self.minio_access_key,
                "MINIO_SECRET_KEY": self.minio_secret_key,
            }
        if self.serves_images:
            needed["URL_SIGNING_KEY"] = self.url_signing_key
        if not self.platevault_embedded:
            needed |= {"COLLECTOR_TOKEN": self.collector_token, "VIEWER_TOKEN": self.viewer_token}
        for name, value in needed.items():
            if value is None:
                yield f"{name} is not set: {_HOW.get(name, 'put it into the environment or into .env')}"
        for name in ("COLLECTOR_TOKEN", "VIEWER_TOKEN", "ADMIN_TOKEN", "METRICS_TOKEN"):
            secret: SecretStr | None = getattr(self, name.lower())
            if secret is not None and len(secret.get_secret_value()) < TOKEN_MIN:
                yield f"{name} is shorter than {TOKEN_MIN} characters: {_HOW[name]}"

    @property
    def serves_images(self) -> bool:
        """True when image URLs lead to this service, which signs them itself."""
        return self.storage_backend == "local" or self.image_delivery == "proxy"

    @property
    def image_origin(self) -> str | None:
        """scheme://host[:port] of image URLs; the service's own where it serves them itself."""
        if self.serves_images:
            return (
                self.public_url
                or f"http://{'127.0.0.1' if self.host in setting_rules.EVERYWHERE else self.host}:{self.port}"
            )
        if self.minio_endpoint is None:
            return None
        return self.minio_public_endpoint or f"{'https' if self.minio_secure else 'http'}://{self.minio_endpoint}"

    @property
    def url_valid_for(self) -> timedelta:
        return timedelta(minutes=self.image_url_expiry_minutes)


_RANDOM: Final = "make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"
_HOW: Final[Mapping[str, str]] = {
    "DATABASE_URL": "postgresql+asyncpg://user:password@host:5432/name",
    "MINIO_ENDPOINT": "host:port of the S3 server, or STORAGE_BACKEND=local for a folder",
    "COLLECTOR_TOKEN": _RANDOM,
    "VIEWER_TOKEN": _RANDOM,
    "ADMIN_TOKEN": _RANDOM,
    "METRICS_TOKEN": _RANDOM,
    "URL_SIGNING_KEY": _RANDOM,
}


def read_settings(*, env_file: Path | None = Path(".env"), **given: Any) -> Settings:
    """Return the settings of this environment. Raises `SettingsInvalid` with a line for each wrong variable and its fix.

    Each secret may stand in a file instead, which `NAME_FILE` names.
    """
    secrets, faults = secret_files.read(secret_names(), written=secret_files.written(env_file))
    found = _read(env_file, {**secrets, **given})
    if isinstance(found, Settings):
        if not faults:
            return found
        found = []
    faults |= {str(line["loc"][0]): setting_rules.sentence(line, bounds=_bounds(line)) for line in found if line["loc"]}
    if faults:  # settings are compared with each other only if each is valid: here defaults replace the wrong ones
        others = _read(env_file, {**secrets, **given, **{name: _default(name) for name in faults}})
        found = [] if isinstance(others, Settings) else others
    named = re.compile("|".join(rf"\b{name.upper()}\b" for name in faults) or "(?!)")
    together = (one for line in found for one in setting_rules.sentence(line, bounds=(None, None)).splitlines())
    told = [*faults.values(), *(one for one in together if not named.search(one))]
    raise SettingsInvalid("\n".join(told))  # without a cause, which would show the values


def _read(env_file: Path | None, given: Mapping[str, Any]) -> Settings | list[Any]:
    """Return the settings, or the lines of the validation error."""
    try:
        return Settings(_env_file=env_file, **given)
    except ValidationError as error:
        return list(error.errors(include_url=False, include_input=False))


def secret_names() -> tuple[str, ...]:
    """The fields that are secrets, in order."""
    return tuple(name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation))


def shown(settings: Settings) -> dict[str, str]:
    """Variable → value, with secrets masked."""
    return {name.upper(): _text(getattr(settings, name)) for name in _public_fields()}


def defaults() -> Iterator[tuple[str, str, str]]:
    """(variable, default as text, what it is for) of every setting, in order."""
    for name in _public_fields():
        field = Settings.model_fields[name]
        yield name.upper(), _text(field.default), field.description or ""


def variables() -> frozenset[str]:
    """The names of all variables that `Settings` reads."""
    return frozenset(name.upper() for name in Settings.model_fields)


def _public_fields() -> list[str]:
    return [name for name in Settings.model_fields if not name.startswith("platevault_")]


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, SecretStr):
        return _SECRET
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value)


def _bounds(line: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Return the least and largest number of the line's setting."""
    limits = Settings.model_fields[str(line["loc"][0])].metadata
    least, most = ([getattr(one, name) for one in limits if hasattr(one, name)] for name in ("ge", "le"))
    return least[0] if least else None, most[0] if most else None


def _default(name: str) -> Any:
    return Settings.model_fields[name].default
