"""Handlers of derived images.

- `derived`: Return derived images: any size and format of an image.
- `image_metadata`: Return the properties of an image file, read from its bytes.
- `responses`: How one derived picture is answered: a redirect, its bytes, 304, or what became of the image.
"""
