"""Handlers of the API, a package a capability.

- `catalog/`: Handlers of detections, images and their URLs.
- `export/`: Handlers of exports.
- `fast_route`: Routes whose usual requests are read by hand: reading their parameters through FastAPI costs as much as a large part of their answer.
- `holds/`: Handlers of legal holds.
- `ingest/`: Handlers of what collectors send.
- `operations/`: Handlers of health and metrics.
- `renditions/`: Handlers of derived images.
- `retention/`: Handlers of deletion on request.
"""
