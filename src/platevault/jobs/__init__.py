"""How a job runs: its record, the maintenance lock, the restore marker.

- `report`: Verdicts on rows and objects, and the record of a job run.
- `restore_marker`: The restore marker in database and bucket, against restored dumps.
- `run`: The job context, and the recorded run of a job.
- `service_clock`: The clock of the process, compared with the database's.
- `vault_clock`: The clock that decides what is due, and its confirmation.
- `sql/`: SQL of `jobs`.
"""
