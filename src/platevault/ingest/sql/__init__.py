"""SQL of `ingest`.

- `batches`: Batches and the answers that they got, so that a retry gets the same one.
- `detections`: Detections and their images as rows: recorded once, met again, never half.
- `record_batch`: One batch in one transaction: new detections in, known ones met, the answer kept for every retry.
"""
