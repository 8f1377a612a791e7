"""Requests and responses of the API as OpenAPI shows them.

- `catalog`: Search requests, detections with their images, and signed URLs, for OpenAPI and for validation.
- `catalog_examples`: Examples of searches, detections, images and URLs for OpenAPI.
- `export`: Requests for an export, for OpenAPI and for validation.
- `fields`: Field types of requests and responses, each with the description that OpenAPI shows.
- `holds`: Legal holds: requests to place and lift them, and their state, for OpenAPI and for validation.
- `images`: Answers with the bytes of images, for OpenAPI.
- `ingest`: Batches as collectors send them, the answers to them, and the limits, for OpenAPI.
- `ingest_examples`: Examples of batches, lost images and limits for OpenAPI.
- `openapi`: Parts of the OpenAPI document: tags, and the answers of a route by status.
- `operations`: Liveness and readiness, for OpenAPI.
- `parameters`: Parameters of paths and queries, with their descriptions.
- `problems`: The body of every error: an RFC 9457 problem, and the members that some kinds of problem add.
- `renditions`: Requests for derived images, their URLs, and image metadata, for OpenAPI and for validation.
- `retention`: Deletion of one detection or by a filter, for OpenAPI and for validation.
- `uploads`: Direct uploads: the offer, its files and its state, for OpenAPI and for validation.
"""
