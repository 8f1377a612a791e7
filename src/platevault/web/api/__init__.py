"""Handlers of the API, a package a capability.

- `catalog/`: Handlers of detections, images and their URLs.
- `collecting`: Routes of collectors.
- `export/`: Handlers of exports.
- `fast_route`: Routes with hand-written parameter parsing, for speed.
- `holds/`: Handlers of legal holds.
- `ingest/`: Handlers of batches and direct uploads.
- `keeping`: Routes of legal holds and deletion.
- `operations/`: Handlers of health and metrics.
- `reading`: Routes of readers.
- `renditions/`: Handlers of renditions.
- `retention/`: Handlers of deletion on request.
"""

from platevault.web.api import collecting, keeping, reading

routers = (*collecting.routers, *reading.routers, *keeping.routers)
