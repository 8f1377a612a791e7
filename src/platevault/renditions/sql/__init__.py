"""SQL of `renditions`.

- `missing`: Pages of stored images, all or new ones.
- `renditions`: Renditions and leases in the image's row.
"""
