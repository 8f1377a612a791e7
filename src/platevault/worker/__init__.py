"""The process of `platevault worker`.

- `__main__`: Entry point of `python -m platevault.worker`.
- `work`: Uploads, scheduled jobs and heartbeats until a signal.
"""
