"""Decoding and deriving pictures in child processes.

- `decoder_pool`: Pool of decoding child processes.
- `decoder_process`: Program of a decoding child, within hard limits.
- `decoder_protocol`: Messages between pool and child.
- `exif`: EXIF tags as validated plain values.
- `headers`: Checks of image headers before decoding.
- `transform`: Decode, crop, resize and encode, inside the child.
"""
