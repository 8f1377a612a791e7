"""Handlers of the API, a package a capability.

- `catalog/`: Handlers of detections, images and their URLs.
- `collecting`: The routes that collectors use: what comes in.
- `export/`: Handlers of exports.
- `fast_route`: Routes whose usual requests are read by hand: reading their parameters through FastAPI costs as much as a large part of their answer.
- `holds/`: Handlers of legal holds.
- `ingest/`: Handlers of what collectors send.
- `keeping`: The routes that decide what stays and what goes: legal holds, deletion on request.
- `operations/`: Handlers of health and metrics.
- `reading`: The routes that people and their programs read by: what goes out, each look written down.
- `renditions/`: Handlers of derived images.
- `retention/`: Handlers of deletion on request.
"""

from platevault.web.api import collecting, keeping, reading

routers = (*collecting.routers, *reading.routers, *keeping.routers)
