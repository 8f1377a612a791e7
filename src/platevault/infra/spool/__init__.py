"""The spool: local durable disk of one node.

- `dead_letters`: Rejected files in `dead/`, with their reasons, under a limit.
- `draft`: A spool file during its write, with digests.
- `file_format`: Format of a spool file: parts, then an index.
- `spool`: The spool folder: drafts, ready files, dead letters.
- `usage`: Bytes used and reserved, shared by all processes of a node.
"""
