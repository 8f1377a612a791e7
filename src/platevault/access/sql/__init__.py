"""SQL of `access`.

- `access_log`: Rows of the access log, one for each look, in the transaction of the look.
"""
