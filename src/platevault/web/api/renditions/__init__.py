"""Handlers of derived images.

- `derived`: `GET` and `HEAD …/images/{kind}/derived`, `GET …/derived/url`.
- `image_metadata`: `GET /v1/detections/{detection_id}/images/{kind}/metadata`.
- `responses`: Responses for one rendition: redirect, bytes, 304 or state.
"""
