"""The routes that people and their programs read by: what goes out, each look written down."""

from platevault.web.api.catalog import detections, image_urls, images, objects, stream
from platevault.web.api.export import exports
from platevault.web.api.renditions import derived
from platevault.web.api.renditions import image_metadata as image_facts

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
