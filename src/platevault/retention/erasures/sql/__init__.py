"""SQL of `retention.erasures`.

- `erasures`: Erasures that the database knows, and an erasure done again.
"""
