"""Handlers of derived images.

- `derived`: GET and HEAD …/images/{kind}/derived, GET …/derived/url: any size and format of an image.
- `image_metadata`: GET /v1/detections/{detection_id}/images/{kind}/metadata: what the image's file says of itself.
- `responses`: How one derived picture is answered: a redirect, its bytes, 304, or what became of the image.
"""
