"""The routes that people and their programs read by: what goes out, each look written down."""

from platevault.web.api import detections, exports, image_urls, images, objects

routers = (detections.router, images.router, image_urls.router, exports.router, objects.router)
