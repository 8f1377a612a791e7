"""Batches in: checked, synced to the spool, recorded, acknowledged.

- `accept`: Take a batch from a collector: room first, then bytes, then rows, then the answer; the upload goes on behind it.
- `admission`: Who may send a body now: a place, room in the spool and memory are taken before a byte of it is read.
- `background_upload`: The upload that goes on behind the answer to a batch.
- `batch_status`: What became of a batch.
- `context`: What taking batches needs, and what is known of one before its body is read.
- `image_bytes`: Where the bytes of each image of a batch are: in the spool file, and perhaps still in memory.
- `multipart`: multipart/form-data as a stream of events, strict about what the sender may leave out.
- `read_body`: Read a body into a draft as it comes: its parts, within their limits, and in time.
- `receipt`: The answer to a batch: what was decided once, and the states of now laid over it.
- `receive`: Receive the body of a batch: one pass into a spool file, parsed by its format, and durable.
- `record`: Record a received batch: judge its detections, write its rows in one transaction, say what became of each.
- `recover`: Make good what a crash left behind in the spool: drafts nobody holds go, ready files without rows are ingested again.
- `reparse`: Parse a spool file again, in the format that it names.
- `transfer_rate`: How fast a body comes in, and when it is too slow to be waited for.
- `validated_batch`: A batch whose bytes are durable in the spool, judged and ready to be recorded.
- `verdict`: What becomes of each detection of a batch: taken, refused with its reasons, or met again.
- `sql/`: SQL of `ingest`.
- `uploads/`: Direct uploads: presigned PUT URLs, then a commit.
"""
