"""Limits and pools that bound concurrent work.

- `adaptive_limit`: Adaptive limit of concurrent puts.
- `breather`: Turns for other work during a long calculation.
- `byte_budget`: A limited number of bytes in memory.
- `circuit_breaker`: Circuit breaker with growing pauses.
- `delivery_budget`: Bytes for clients in chunks, under one memory budget.
- `fair_semaphore`: First-in first-out semaphore, also limited by bytes.
- `put_slots`: Slots of concurrent puts, in the order of asking.
- `thread_pool`: Thread pool for short blocking calls.
"""
