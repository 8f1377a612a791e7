"""SQL of `retention.erasures`.

- `erasures`: Erasures that the database knows, and an erasure done again.
- `texts`: Plates in texts, and the queue of those to erase.
"""
