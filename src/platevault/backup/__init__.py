"""Backup and restore of the database, the objects and the spool.

- `context`: What a backup is of: the database and the bucket of a vault, and the spool of this node.
- `copy_objects`: Copy a bucket into a backup, and back: objects with all that travels with them, each hashed on its way.
- `create`: Make a backup of PostgreSQL, this node's spool and the bucket, in the order in which the three fit together again.
- `dump_database`: The database of one moment in a backup, and the restore marker past it.
- `folder`: A folder of backups on a local disk; a backup has its name only once it is whole.
- `manifest`: What a backup says of itself: its parts, its files with their digests, and when it was made.
- `object_files`: The objects of a backup as files: bytes under their keys in `bucket/`, what is told of them line by line in `objects.jsonl`.
- `restore`: Put a backup back into an empty database, a bucket and an empty spool, while nothing of the vault runs.
- `restore_database`: Put the database of a backup back, so that it is seen to be an older one from its first moment on.
- `spool_files`: A node's spool, copied out and put back: its id, what is ready, and what was set aside.
- `verify`: Read a backup through, as a restore would: every file and every object by its digest, the dump by pg_restore, and whether it has the
- `sql/`: SQL of `backup`.
"""
