"""SQL of `catalog.feed`.

- `feed`: The change feed as followers read it: stretch by stretch, each of limited length however little of it they look for.
"""
