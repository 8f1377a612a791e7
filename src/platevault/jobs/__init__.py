"""How a job runs: its record, the maintenance lock, the restore marker.

- `report`: Keeping rows and objects in agreement: what a pair of them comes to, and what a run of a job has to tell.
- `restore_marker`: The restore marker: the vault's id and a number, in the database and then in the bucket, so that a restored dump shows.
- `run`: What the jobs that keep rows and objects in agreement need, and how each of their runs is ended and kept.
- `sql/`: SQL of `jobs`.
"""
