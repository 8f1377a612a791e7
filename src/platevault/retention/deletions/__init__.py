"""Deletion on request: asked for, confirmed, executed.

- `deletion`: Deletions on request: asked for over a filter, confirmed while there is time, carried out, ended.
- `execute`: Carry out what was confirmed: rows first, in bounded batches, then bytes; begun again by whoever comes next.
- `request`: Delete on request: one detection at once, or all that a filter finds, which is asked for first and then confirmed.
- `sql/`: SQL of `retention.deletions`.
"""
