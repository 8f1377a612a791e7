"""The pages that people read."""

from platevault.web.pages import detection, detections, docs, live, login, overview, preferences

routers = (
    detections.router,
    live.router,
    detection.router,
    docs.router,
    login.router,
    overview.router,
    preferences.router,
)
