"""Handlers of detections, images and their URLs.

- `detections`: GET /v1/detections, POST /v1/search, GET /v1/detections/{detection_id}: what was seen.
- `image_responses`: How one image is answered: a redirect, its bytes, what its row says, or what became of it.
- `image_urls`: GET …/images/{kind}/url and POST /v1/image-urls: presigned URLs, valid for as long as asked and allowed.
- `images`: GET and HEAD /v1/detections/{detection_id}/images/{kind}: the image itself, wherever it is by now.
- `objects`: GET /v1/objects/{key}: where URLs signed by this service itself lead, when browsers cannot reach the object store.
- `placeholder`: The picture that stands in for an image that cannot be shown, in the image's own shape.
- `stream`: GET /v1/stream: detections as they are committed, as server-sent events.
"""
