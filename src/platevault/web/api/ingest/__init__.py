"""Handlers of what collectors send.

- `batch_status`: `GET /v1/collectors/{collector_id}/batches/{batch_id}`: what became of a batch.
- `batches`: `POST /v1/detections`: batches of detections with their images.
- `limits`: GET /v1/limits: what one batch may be.
- `resend`: `GET /v1/resend`: the images that a collector should send again.
- `uploads`: `/v1/uploads`: images that collectors put into the store themselves, and the commit that makes detections of them.
"""
