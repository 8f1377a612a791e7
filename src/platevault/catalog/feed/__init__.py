"""The change feed: detections in the order of their commits.

- `follow`: Follow the change feed: what was committed since a place, then what is committed, each look written down before it is told.
- `subscribers`: Who follows the change feed in this process: how many there may be, how often they look, what wakes them and ends them.
- `subscription`: What a follower of the change feed asks for, parsed once from the query string and the Last-Event-ID of a reconnect.
- `sql/`: SQL of `catalog.feed`.
"""
