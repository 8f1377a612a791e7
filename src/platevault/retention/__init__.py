"""Retention classes, the sweep, tombstones and purge records.

- `apply_shorter`: Apply shorter classes to what is kept already: camera by camera, a page of rows at a time, each in a transaction of its own.
- `classes`: Retention classes: as ingest sees them, a few seconds old at most, and changed in an order that loses nothing.
- `clear_quarantine`: What was set aside of an image goes when the image itself is forgotten: quarantine is no place where erased things stay readable.
- `erase`: Remove the bytes of images that were forgotten: rows first, bytes after.
- `expire`: Make tombstones of what is due, some hundred at a time, and leave a record of it.
- `lifecycle_rules`: The lifecycle rules that the bucket should have: those of the settings, for the longest retention class in the database.
- `prune`: What goes after what was forgotten: what was set aside of it at once, filters of lifted holds with the last of what these named,
- `report`: Operations' one look at retention: each camera's class, its oldest kept image against it, what is held and what is doubtful.
- `set_class`: Set or remove a retention class, with all that follows from it: the bucket before a longer one, old rows and the bucket after a shorter one.
- `sweep`: The sweep: at its `retain_until` a detection that nobody holds becomes a tombstone, and its images leave.
- `verify_bucket`: Every hour: is the bucket still set up so that nothing goes before its time, and does it delete what it should?
- `deletions/`: Deletion on request: asked for, confirmed, executed.
- `sql/`: SQL of `retention`.
"""
