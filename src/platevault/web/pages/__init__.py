"""Handlers of the pages.

- `detection`: Page of one detection.
- `detections`: Pages of search results.
- `docs`: `/docs`: the interactive API reference.
- `live`: Live results of a search.
- `login`: `/login`, `/reason` and `/logout`.
- `overview`: The overview page.
- `preferences`: `POST /preferences`.
"""
