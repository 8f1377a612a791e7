"""SQL of `renditions`.

- `missing`: Stored images as whoever makes their named variants goes through them: all in the order of their ids, or new ones as they came.
- `renditions`: Which derived pictures there are of an image, and who makes one at this moment: one place in the image's own row.
"""
