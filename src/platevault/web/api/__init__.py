"""The JSON routes, one noun a file."""

from platevault.web.api import batches, detections, image_urls, images, limits, objects, resend

routers = (
    batches.router,
    resend.router,
    detections.router,
    images.router,
    image_urls.router,
    limits.router,
    objects.router,
)
