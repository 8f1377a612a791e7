"""Records of erasures in the bucket, and erasures done again after a restore.

- `compare`: The check of the gate: erasures of the bucket against the database.
- `confirm`: Confirmation of a restore, with what it cannot know.
- `earlier`: Records of erasures that a version without records did.
- `keep`: Records of erasures in the bucket, written and read.
- `record`: The record of one erasure: ids and time.
- `texts`: Plates of erased detections in logs and reasons.
- `sql/`: SQL of `retention.erasures`.
"""
