"""The routes that decide what stays and what goes: legal holds, deletion on request."""

from platevault.web.api import deletions, holds

routers = (holds.router, deletions.router)
