"""The process of `platevault worker`.

- `work`: Uploads, scheduled jobs and heartbeats until a signal.
"""
