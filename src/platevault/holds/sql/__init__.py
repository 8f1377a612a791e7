"""SQL of `holds`.

- `copies`: Copies of held images: due, leased, verified.
- `holds`: Rows of legal holds.
- `placement`: Progress of a placement, and the block on erasure during it.
"""
