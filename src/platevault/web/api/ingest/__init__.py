"""Handlers of what collectors send.

- `batch_status`: `GET /v1/collectors/{collector_id}/batches/{batch_id}`.
- `batches`: `POST /v1/detections`.
- `limits`: `GET /v1/limits`.
- `resend`: `GET /v1/resend`.
- `uploads`: `/v1/uploads`: direct uploads.
"""
