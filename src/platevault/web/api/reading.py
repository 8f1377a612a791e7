"""The routes that people and their programs read by: what goes out, each look written down."""

from platevault.web.api import detections, exports, image_urls, images, objects, stream
from platevault.web.api import image_metadata as image_facts
from platevault.web.api import renditions as derived

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
