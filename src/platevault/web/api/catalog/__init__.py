"""Handlers of detections, images and their URLs.

- `content_response`: Response with the bytes of an image, in chunks.
- `detections`: `GET /v1/detections`, `POST /v1/search`, `GET /v1/detections/{detection_id}`.
- `image_responses`: Responses for one image: redirect, bytes or state.
- `image_urls`: `GET …/images/{kind}/url` and `POST /v1/image-urls`.
- `images`: `GET` and `HEAD /v1/detections/{detection_id}/images/{kind}`.
- `objects`: `GET /v1/objects/{key}`, for URLs that this service signed.
- `placeholder`: Placeholder picture of an image that cannot be shown.
- `stream`: `GET /v1/stream`: the change feed as server-sent events.
"""
