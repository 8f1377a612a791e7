"""Requests and responses of the API as OpenAPI shows them.

- `batches`: What a batch and its answers look like, for the OpenAPI document.
- `deletions`: What deletions look like, asked for and answered, for OpenAPI and for whoever validates against it.
- `detections`: What requests and answers look like, for OpenAPI and for whoever validates against it.
- `holds`: What legal holds take and answer, for OpenAPI and for whoever validates against it.
- `openapi`: How the API describes itself: problems, examples, and parameters that are parsed elsewhere.
- `renditions`: What requests for derived pictures and image facts look like, and their answers, for OpenAPI.
- `uploads`: What direct uploads look like, for OpenAPI and for whoever validates against it.
"""
