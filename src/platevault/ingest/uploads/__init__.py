"""Direct uploads: presigned PUT URLs, then a commit.

- `abort`: Abort and status of a direct upload.
- `commit`: Commit of a direct upload: verify, move, record.
- `context`: Dependencies and limits of direct uploads.
- `create`: A new direct upload with its presigned URLs.
- `expire`: Removal of objects under `temp/` that direct uploads left.
- `offer`: Files of a direct upload, and their states.
- `verify`: Verification of uploaded files and their move to final keys.
- `sql/`: SQL of `ingest.uploads`.
"""
