"""Handlers of the API, a package a capability.

- `catalog/`: Handlers of detections, images and their URLs.
- `export/`: Handlers of exports.
- `fast_route`: Routes with hand-written parameter parsing, for speed.
- `holds/`: Handlers of legal holds.
- `ingest/`: Handlers of batches and direct uploads.
- `operations/`: Handlers of health and metrics.
- `renditions/`: Handlers of renditions.
- `retention/`: Handlers of deletion on request.
"""
