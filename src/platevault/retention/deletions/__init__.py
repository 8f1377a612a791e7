"""Deletion on request: asked for, confirmed, executed.

- `deletion`: A deletion request and its states.
- `execute`: Execution of confirmed deletions, resumable.
- `request`: Request and confirmation of a deletion.
- `sql/`: SQL of `retention.deletions`.
"""
