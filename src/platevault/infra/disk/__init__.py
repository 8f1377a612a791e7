"""Files, folders and their durability.

- `file_lock`: Lock an open file for this process, on Linux, macOS and Windows.
- `local_disk`: What a local disk promises and what it does not: syncing folders, room, and file systems that are no local disk.
- `private_files`: What an embedded server keeps from one start to the next: its ports and secrets, in private files.
- `scratch`: Scratch files: bytes that are appended now and read once later. They have no name, so that nothing outlives its process.
- `syncfs`: Make durable what a server beside us wrote without syncing.
"""
