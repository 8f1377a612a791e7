"""SQL of `integrity`.

- `inventory`: Rows of images held against keys of objects, in pages, and looked at again under their locks before anything is done.
- `rebuild`: Rows made again from objects, where there are none; whatever is in the database stays as it is.
"""
