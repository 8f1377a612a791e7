"""Handlers of detections, images and their URLs.

- `detections`: Search detections, list them as a change feed, and return one.
- `image_responses`: How one image is answered: a redirect, its bytes, what its row says, or what became of it.
- `image_urls`: Return signed URLs of images, valid for as long as requested and allowed.
- `images`: Return one image: a redirect to the object store, its bytes, or a drawing.
- `objects`: Return objects by URLs that this service signed, for browsers that cannot reach the object store.
- `placeholder`: The picture that stands in for an image that cannot be shown, in the image's own shape.
- `stream`: Stream detections as they are committed, as server-sent events.
"""
