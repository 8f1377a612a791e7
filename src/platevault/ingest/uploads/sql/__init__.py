"""SQL of `ingest.uploads`.

- `uploads`: Rows of direct uploads.
"""
