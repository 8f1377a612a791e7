"""Drivers and operating system: databases, object stores, disks, decoders.

- `concurrency/`: Limits and pools that bound concurrent work.
- `disk/`: Files, folders and their durability.
- `imaging/`: Decoding and deriving pictures in child processes.
- `objectstore/`: SQL of `infra`.
- `postgres/`: PostgreSQL: connections, schema, migrations, notifications, the job queue.
- `spool/`: The spool: local durable disk of one node.
- `telemetry/`: Metrics of all processes of a node.
"""
