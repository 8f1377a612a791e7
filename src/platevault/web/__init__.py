"""HTTP: the API, the pages and the server around them.

- `app`: The web app around one vault: its routes, what goes around them, and its start and stop.
- `dependencies`: The vault that this app was built with, and the request's own id, as dependencies.
- `middleware`: What goes around every request: its id, one line in the log, security headers, limits, an answer when all else fails.
- `problems`: What went wrong, as HTTP says it: the only place that gives an error a status (RFC 9457).
- `routes`: Every route there is: the API, the health checks, and the pages.
- `api/`: Handlers of the API, one module a resource.
- `auth/`: Credentials and sessions of a request.
- `html/`: What the pages share: layout, forms, formatting, charts.
- `pages/`: Handlers of the pages.
- `schemas/`: Requests and responses of the API as OpenAPI shows them.
- `server/`: The protocol below the app: deadlines, load shedding, discarded bodies.
"""
