"""The vault for Python programs: image storage and bucket of this environment, without the service."""

from typing import Any

from platevault.app.storage import open_bucket_admin, open_image_storage, outer_bound
from platevault.catalog.image_storage import ImageStorage
from platevault.settings import read_settings


def image_storage() -> ImageStorage:
    """Open the image storage of this environment and `.env`. Raises `SettingsInvalid`, which names the variable."""
    return open_image_storage(read_settings())


def bucket_of_environment() -> dict[str, Any]:
    """Return the arguments of `configure_bucket` for this environment: `await configure_bucket(**bucket_of_environment())`.

    They hold the settings alone, not the retention classes of the database. So they never lower an existing rule.
    """
    settings = read_settings()
    bound = outer_bound(settings)
    return {"admin": open_bucket_admin(settings), "rules_wanted": bound.rules(bound.default_days), "may_lower": False}
