"""Batches in: checked, synced to the spool, recorded, acknowledged.

- `accept`: Ingestion of one batch: reservation, bytes, rows, answer.
- `admission`: Admission before the body: places, spool space and memory.
- `batch_status`: Status of a batch.
- `context`: Dependencies and limits of ingest.
- `multipart`: Streaming parser of multipart/form-data.
- `receipt`: Answer to a batch: stored decision, current states.
- `receive`: Body of a batch into a synced spool file.
- `record`: Rows of a received batch, in one transaction.
- `recover`: Recovery of drafts and unrecorded files after a crash.
- `stored_answer`: Answer that waits until the bucket has the images.
- `transfer_rate`: Transfer rate of a body, and its lower limit.
- `validated_batch`: A durable, validated batch.
- `verdict`: Verdict on each detection: new, duplicate or rejected.
- `image_bytes`: The bytes of an image in the spool file or in memory.
- `read_body`: Read a body into a draft as it comes: its parts, within their limits, and in time.
- `reparse`: Parse a spool file again, in the format that it names.
- `whole_multipart`: Parts of a multipart body that is whole in memory.
- `sql/`: SQL of `ingest`.
- `uploads/`: Direct uploads: presigned PUT URLs, then a commit.
"""
