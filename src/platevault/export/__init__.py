"""Exports: a zip with the images and metadata that a search finds.

- `documents`: Manifest, table and letter in an export.
- `export`: Search results as a streamed zip.
- `pages`: Pages of a search, each logged before use.
- `prefetch`: Images of a page in order, fetched a few ahead.
- `request`: Request, image outcomes and ending of an export.
- `zip_format`: Zip structures: headers, directory and end, entries uncompressed.
- `zip_stream`: One archive, built in constant memory.
"""
