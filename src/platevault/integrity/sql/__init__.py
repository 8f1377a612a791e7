"""SQL of `integrity`.

- `inventory`: Pages of image rows, checked again under lock.
- `rebuild`: Inserts of rebuilt rows, existing rows unchanged.
"""
