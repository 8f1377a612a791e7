"""Every route there is: the API, the health checks, and the pages."""

from typing import Final

from fastapi import APIRouter

from platevault.web.api import routers as api
from platevault.web.api.operations import health, metrics
from platevault.web.pages import routers as pages

ROUTERS: Final[tuple[APIRouter, ...]] = (*api, health.router, metrics.router, *pages)
