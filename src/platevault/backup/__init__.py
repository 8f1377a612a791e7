"""Backup and restore of the database, the objects and the spool.

- `context`: Dependencies of backup and restore, and the choice of parts.
- `copy_bucket`: The bucket in a backup, plain or encrypted.
- `copy_objects`: Copies of objects from bucket to backup and back, each verified by its digest.
- `create`: A new backup of database, spool and bucket, in a consistent order.
- `dump_database`: The database dump of a backup, and the restore marker past it.
- `earlier_copies`: Lists of copies, and the files of earlier backups that a new one links.
- `erasure_sources`: Backups whose erasures a restore does again.
- `erasures`: Erasures on request in a backup, and back into a bucket.
- `folder`: The folder of backups; a backup gets its name when it is complete.
- `keys`: Recipients of new backups, and identities that open encrypted ones.
- `manifest`: Parts, files, digests and times of a backup.
- `object_files`: Objects of a backup as files, with their metadata in `objects.jsonl`.
- `prune`: Removal of backups that are older than their time.
- `restore`: Restore of a backup into an empty database, bucket and spool.
- `restore_database`: Restore of the dump, visible as an older database from the start.
- `sealed_objects`: Objects of an encrypted backup as files, and the index of their digests.
- `spool_files`: Copies of a node's spool, out and back.
- `verify`: Verification of every file and object of a backup.
- `whole_backup`: Files and objects of a whole backup, decrypted.
- `sql/`: SQL of `backup`.
"""
