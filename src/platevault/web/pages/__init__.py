"""The pages that people read."""

from platevault.web.pages import detections, docs, login

routers = (detections.router, docs.router, login.router)
