"""The routes that decide what stays and what goes: legal holds, deletion on request."""

from platevault.web.api.holds import holds
from platevault.web.api.retention import deletions

routers = (holds.router, deletions.router)
