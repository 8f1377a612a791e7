"""SQL of `catalog.feed`.

- `feed`: Pages of the change feed, each of limited cost.
"""
