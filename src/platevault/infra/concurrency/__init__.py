"""Limits and pools that bound concurrent work.

- `adaptive_limit`: How many puts at once a store bears: fewer when it asks for less, more again while it takes what comes.
- `byte_budget`: A number of bytes that may be held at once.
- `circuit_breaker`: When a neighbour refuses, stop asking for a while, longer each time.
- `fair_semaphore`: Turns: so many at once, in the order of asking.
- `thread_pool`: A few threads for the short blocking work of each batch: there and back costs less than half of an executor's round trip.
"""
