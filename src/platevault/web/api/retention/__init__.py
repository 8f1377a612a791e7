"""Handlers of deletion on request.

- `deletions`: `DELETE /v1/detections/{detection_id}` and `/v1/deletions`.
"""
