"""Rows held against objects: reconcile, scrub, rebuild.

- `rebuild`: Rows from object metadata, after a lost database or a restored dump.
- `rebuilt_rows`: Rows that an object's metadata describes.
- `reconcile`: Comparison of rows with objects.
- `repair`: Repairs of reconcile, each after a last check.
- `scrub`: Daily verification of a share of the bucket.
- `sql/`: SQL of `integrity`.
"""
