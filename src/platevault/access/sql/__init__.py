"""SQL of `access`.

- `access_log`: Who looked at what, and why: one row a look, in the transaction of the look itself, or in the very statement of a page.
"""
