"""SQL of `ingest`.

- `batches`: Batches and their stored answers.
- `detections`: Rows of detections and images, written once.
- `record_batch`: One batch in one transaction.
"""
