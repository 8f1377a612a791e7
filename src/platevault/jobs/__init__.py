"""How a job runs: its record, the maintenance lock, the restore marker.

- `report`: Verdicts on rows and objects, and the record of a job run.
- `restore_marker`: The restore marker in database and bucket, against restored dumps.
- `run`: The job context, and the recorded run of a job.
- `sql/`: SQL of `jobs`.
"""
