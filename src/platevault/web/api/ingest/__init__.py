"""Handlers of what collectors send.

- `batch_status`: Return the state of a batch.
- `batches`: `POST /v1/detections`: batches of detections with their images.
- `limits`: Return the limits of one batch.
- `resend`: List the images that a collector has to send again.
- `uploads`: Create, commit, abort and show direct uploads: images that collectors put into the object store.
"""
