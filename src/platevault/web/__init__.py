"""HTTP: the API, the pages and the server around them.

- `app`: The web app: routes, middleware, start and stop.
- `dependencies`: FastAPI dependencies: vault, request id, links.
- `middleware`: Request id, access line, security headers, limits, last-resort answer.
- `plain_sentences`: Faults that FastAPI finds, in plain sentences.
- `problems`: HTTP status of each error (RFC 9457).
- `routes`: All routes.
- `api/`: Handlers of the API, a package for each capability.
- `document`: The OpenAPI document: licence, servers, tags, schemas.
- `route`: One row of the route list, and its registration in the app.
- `auth/`: Credentials and sessions of a request.
- `html/`: Layout, forms, formatting and charts of the pages.
- `pages/`: Handlers of the pages.
- `schemas/`: Requests and responses for OpenAPI.
- `server/`: Protocol below the app: deadlines, load shedding, discarded bodies.
"""
