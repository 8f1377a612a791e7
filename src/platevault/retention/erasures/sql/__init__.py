"""SQL of `retention.erasures`.

- `earlier`: Erasures from before there were records.
- `erasures`: Erasures that the database knows, and an erasure done again.
- `texts`: Plates in texts, and the queue of those to erase.
"""
