"""Requests and responses of the API as OpenAPI shows them.

- `batches`: Schemas of batches.
- `deletions`: Schemas of deletions.
- `detections`: Schemas of detections and images.
- `holds`: Schemas of legal holds.
- `openapi`: Shared OpenAPI parts: problems, examples, parameters.
- `renditions`: Schemas of renditions and image facts.
- `uploads`: Schemas of direct uploads.
"""
