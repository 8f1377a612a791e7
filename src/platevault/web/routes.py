"""Every route there is: the API, the health checks, and the pages."""

from typing import Final

from fastapi import APIRouter

from platevault.web import health
from platevault.web.api import batches, detections, image_urls, images, limits, objects
from platevault.web.pages import routers as pages

ROUTERS: Final[tuple[APIRouter, ...]] = (
    batches.router,
    detections.router,
    images.router,
    image_urls.router,
    limits.router,
    objects.router,
    health.router,
    *pages,
)
