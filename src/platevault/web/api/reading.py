"""The routes that people and their programs read by: what goes out, each look written down."""

from platevault.web.api import derived, detections, exports, image_facts, image_urls, images, objects, stream

routers = (
    detections.router,
    images.router,
    image_urls.router,
    derived.router,
    image_facts.router,
    exports.router,
    objects.router,
    stream.router,
)
