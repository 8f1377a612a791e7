"""The composition root: parts are opened, started, scheduled and stopped here.

- `retention_jobs`: The jobs by the clock that keep and forget: what may still delete is looked at, and what is due goes.
- `schedule`: What a worker does by the clock: what keeps rows and objects in agreement, and what keeps and forgets.
- `vault`: Wires the parts once, by hand; the only place that makes clocks and ids.
"""
