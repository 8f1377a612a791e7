"""SQL of `ingest.uploads`.

- `uploads`: Direct uploads as rows: what was offered, what became of it, and a commit that is recorded once.
"""
