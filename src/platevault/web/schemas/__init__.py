"""Requests and responses of the API as OpenAPI shows them.

- `holds`: Schemas of legal holds.
- `openapi`: Shared OpenAPI parts: problems, examples, parameters.
- `renditions`: Schemas of renditions and image facts.
- `uploads`: Schemas of direct uploads.
- `catalog`: Searches, detections with their images, and signed URLs.
- `catalog_examples`: Examples of searches, detections, images and URLs for OpenAPI.
- `export`: Requests for an export, for OpenAPI and for validation.
- `fields`: Field types of requests and responses, each with the description that OpenAPI shows.
- `images`: Answers with the bytes of images, for OpenAPI.
- `ingest`: Batches as collectors send them, the answers to them, and the limits, for OpenAPI.
- `ingest_examples`: Examples of batches, lost images and limits for OpenAPI.
- `operations`: Liveness and readiness, for OpenAPI.
- `parameters`: Parameters of paths and queries, with their descriptions.
- `problems`: The body of every error (RFC 9457).
- `retention`: Deletion of one detection or by a filter, for OpenAPI and for validation.
"""
