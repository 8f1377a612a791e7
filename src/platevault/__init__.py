"""Platevault keeps what license-plate cameras see.

The stable names for Python programs:

- `generate_object_key(detection_id, captured_at, image_type)`: the object key of an image, by arithmetic.
- `image_storage()`: an `ImageStorage` of this environment, with `store_detection_images` and `get_presigned_url`.
- `configure_bucket(admin=…, rules_wanted=…)`: the bucket as Platevault needs it; `bucket_of_environment()` gives the arguments.

Modules of the package itself:

- `settings`: the environment variables, read and checked.
- `logs`: structured logs, written without blocking.
- `worker`: the background process.
- `__main__`: `python -m platevault`.
"""

from typing import Any

from platevault.app.storage import open_bucket_admin, open_image_storage, outer_bound
from platevault.catalog.image_storage import ImageStorage
from platevault.domain.object_keys import KeyParts, generate_object_key, parse_object_key
from platevault.provisioning.bucket import BucketReport, configure_bucket
from platevault.settings import read_settings

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


def image_storage() -> ImageStorage:
    """The image storage of this environment and `.env`; raises `SettingsInvalid` that names the variable."""
    return open_image_storage(read_settings())


def bucket_of_environment() -> dict[str, Any]:
    """The arguments of `configure_bucket` for this environment: `await configure_bucket(**bucket_of_environment())`.

    They know the settings alone, not the retention classes of the database, and so no rule that stands is lowered by them.
    """
    settings = read_settings()
    bound = outer_bound(settings)
    return {"admin": open_bucket_admin(settings), "rules_wanted": bound.rules(bound.default_days), "may_lower": False}
