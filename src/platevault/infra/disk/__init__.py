"""Files, folders and their durability.

- `local_disk`: Folder sync, free space, and detection of network file systems.
- `private_files`: Ports and secrets of embedded servers, in private files.
- `reserve`: Bytes of a file system that stay free, and the room above them.
- `scratch`: Unnamed scratch files for one write and one read.
- `syncfs`: Sync of files that another server wrote.
- `file_lock`: Lock an open file for this process, on Linux, macOS and Windows.
"""
