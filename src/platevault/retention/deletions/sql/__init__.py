"""SQL of `retention.deletions`.

- `erase`: Erasure, counts and purge record in one transaction.
- `requests`: Rows of deletion requests.
"""
