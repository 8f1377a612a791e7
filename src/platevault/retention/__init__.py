"""Retention classes, the sweep, tombstones and purge records.

- `apply_shorter`: Shorter classes for existing rows, by camera and page.
- `classes`: Retention classes: cached for ingest, changed in a safe order.
- `clear_quarantine`: Removal of quarantined copies of erased images.
- `erase`: Removal of the objects of erased images, rows first.
- `erasure_cap`: The limit of erasures in any 24 hours.
- `expire`: Tombstones of due detections, and their purge record.
- `lifecycle_rules`: Wanted lifecycle rules for the longest class.
- `prune`: Removal of leftovers: quarantine, hold filters, batch answers, old tombstones.
- `report`: Classes, oldest images, holds and doubts by camera.
- `set_class`: Change of a class, with bucket rules and existing rows.
- `sweep`: The sweep of expired detections.
- `verify_bucket`: Hourly check of the bucket's rules and their effect.
- `deletions/`: Deletion on request: asked for, confirmed, executed.
- `erasures/`: Records of erasures in the bucket, and erasures done again after a restore.
- `sql/`: SQL of `retention`.
"""
