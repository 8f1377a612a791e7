"""HTTP: the API, the pages and the server around them.

- `app`: The web app around one vault: its routes, what goes around them, and its start and stop.
- `dependencies`: The vault that this app was built with, and the request's own id, as dependencies.
- `document`: The OpenAPI document: licence, servers, tags, and the schemas of bodies that handlers read and encode.
- `middleware`: What goes around every request: its id, one line in the log, security headers, limits, an answer when all else fails.
- `problems`: What went wrong, as HTTP says it: the only place that gives an error a status (RFC 9457).
- `route`: One row of the route list, and its registration in the app.
- `routes`: The list of all routes: method, path, handler, and what OpenAPI says about the handler.
- `api/`: Handlers of the API, a package a capability.
- `auth/`: Credentials and sessions of a request.
- `html/`: What the pages share: layout, forms, formatting, charts.
- `pages/`: Handlers of the pages.
- `schemas/`: Requests and responses of the API as OpenAPI shows them.
- `server/`: The protocol below the app: deadlines, load shedding, discarded bodies.
"""
