"""Platevault keeps what license-plate cameras see.

The stable names for Python programs:

- `generate_object_key(detection_id, captured_at, image_type)`: the object key of an image, by arithmetic.
- `image_storage()`: an `ImageStorage` of this environment, with `store_detection_images` and `get_presigned_url`.
- `configure_bucket(admin=…, rules_wanted=…)`: the bucket as Platevault needs it; `bucket_of_environment()` gives the arguments.

All but the object keys need `platevault[server]`, and are imported when they are first used.

Modules of the package itself:

- `extras`: import modules whose libraries come with an extra of the package.
- `library`: the functions above that read the environment.
- `secret_files`: Secrets in files that variables name.
- `setting_rules`: Rules of single settings and sentences about faults.
- `settings`: the environment variables, read and checked.
- `logs`: structured logs, written without blocking.
- `worker`: the background process.
- `__main__`: `python -m platevault`.
"""

from typing import TYPE_CHECKING, Any

from platevault.domain.object_keys import KeyParts, generate_object_key, parse_object_key
from platevault.extras import server_module

if TYPE_CHECKING:
    from platevault.catalog.image_storage import ImageStorage
    from platevault.library import bucket_of_environment, image_storage
    from platevault.provisioning.bucket import BucketReport, configure_bucket

__all__ = [
    "BucketReport",
    "ImageStorage",
    "KeyParts",
    "bucket_of_environment",
    "configure_bucket",
    "generate_object_key",
    "image_storage",
    "parse_object_key",
]

_SERVER_NAMES = {
    "BucketReport": "platevault.provisioning.bucket",
    "ImageStorage": "platevault.catalog.image_storage",
    "bucket_of_environment": "platevault.library",
    "configure_bucket": "platevault.provisioning.bucket",
    "image_storage": "platevault.library",
}


if not TYPE_CHECKING:  # a type checker would otherwise accept every name

    def __getattr__(name: str) -> Any:
        """Import a name of the server when it is first used. Raises `NotInstalled` without `platevault[server]`."""
        if name not in _SERVER_NAMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = getattr(server_module(_SERVER_NAMES[name], needed_by=f"{__name__}.{name}"), name)
        globals()[name] = found
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
