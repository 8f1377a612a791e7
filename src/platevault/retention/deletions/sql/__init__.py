"""SQL of `retention.deletions`.

- `erase`: Erase what a deletion is over: the detections, its count and the purge record in one transaction, so that a crash counts nothing twice.
- `requests`: Deletions on request as rows: what each was to delete, who confirmed it, and how far it is.
"""
