"""Rows held against objects: reconcile, scrub, rebuild.

- `rebuild`: Make rows again from what objects say of themselves, after a database was lost or an old dump was restored.
- `rebuilt_rows`: The rows that an object's metadata is good for, after a database was lost.
- `reconcile`: Hold rows against objects, and objects against rows; say what differs, and put it right where the operator said so.
- `repair`: What reconcile may do, each thing with its last look: mark missing, mark stored, set orphans aside, delete what was left behind.
- `scrub`: Read a share of the bucket again, byte for byte, so that rot does not go unseen: run daily, all of it within a month.
- `sql/`: SQL of `integrity`.
"""
