"""SQL of `jobs`.

- `lock`: One at a time: a lock of the database, held by whoever marks, moves, deletes or makes rows.
- `restore_marker`: The database's half of the restore marker: which vault this is, and one number that only grows.
- `runs`: What each run of a job found and did, kept for 90 days.
"""
