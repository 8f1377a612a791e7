"""PostgreSQL: connections, schema, migrations, notifications, the job queue.

- `connecting`: Causes of a refused connection, in one sentence each.
- `database`: Connection pool, retried transactions, translated errors.
- `erasure_tables`: Tables of erasures on request.
- `feed_positions`: Positions of new rows in the change feed, also after a restore.
- `filters`: SQL conditions of search filters.
- `job_queue`: PgQueuer: its tables, and scheduled jobs, once per tick.
- `migrations`: Schema migrations and the schema version.
- `notify`: Notifications between processes: new detections, ended sessions.
- `plate_indexes`: Indexes of detections by plates and other readings.
- `read_gate`: The gate in front of readers of detections.
- `upload_tables`: The table of direct uploads.
- `schema`: Tables for SQLAlchemy.
- `reported_columns`: SQL fragments made from the list of reported fields.
"""
