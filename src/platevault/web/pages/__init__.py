"""Handlers of the pages.

- `detection`: Page of one detection.
- `detections`: Pages of search results.
- `docs`: `/docs`: the interactive API reference.
- `live`: Live results of a search.
- `login`: `/login`, `/reason` and `/logout`.
- `overview`: The overview page.
- `preferences`: `POST /preferences`.
"""

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
