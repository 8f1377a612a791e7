"""Drivers and operating system: databases, object stores, disks, decoders.

- `concurrency/`: Limits and pools for concurrent work.
- `disk/`: Files, folders and their durability.
- `encryption/`: Encryption of files with public keys.
- `imaging/`: Image decoding in child processes.
- `objectstore/`: Object stores behind one interface.
- `postgres/`: Connections, schema, migrations, notifications, job queue.
- `spool/`: Local durable disk of one node.
- `telemetry/`: Metrics of all processes of a node.
"""
