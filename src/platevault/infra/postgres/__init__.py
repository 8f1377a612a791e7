"""PostgreSQL: connections, schema, migrations, notifications, the job queue.

- `database`: PostgreSQL: one pool, transactions that are retried where that is right, and its errors in our words.
- `feed_positions`: Where new rows stand in the change feed: after all that there ever were, also when a dump was restored into another server.
- `filters`: What a row of `detections` must be for the filters of a search to find it.
- `job_queue`: PgQueuer: its tables, and what is due at a time, run once per tick however many workers ask.
- `migrations`: The database's schema: brought up to this version's, and compared with it.
- `notify`: Notices from process to process, of detections that were committed and of sessions that ended: PostgreSQL's NOTIFY.
- `reported_columns`: The columns of the reported fields, and the parts of SQL statements that name them, made once from the list of fields.
- `schema`: The tables as SQLAlchemy sees them; alembic/versions makes them, with the triggers that guard them.
"""
