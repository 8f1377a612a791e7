"""The change feed: detections in the order of their commits.

- `follow`: The change feed from a position on, each look logged.
- `subscribers`: Limit, wake-up and end of the feed's subscribers in this process.
- `subscription`: Parsed request of a subscriber: filters and position.
- `sql/`: SQL of `catalog.feed`.
"""
