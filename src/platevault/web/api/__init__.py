"""Handlers of the API, one module a resource.

- `batch_status`: `GET /v1/collectors/{collector_id}/batches/{batch_id}`: what became of a batch.
- `batches`: `POST /v1/detections`: batches of detections with their images.
- `collecting`: The routes that collectors use: what comes in.
- `deletions`: DELETE /v1/detections/{detection_id}, and /v1/deletions: what is to be forgotten before its time.
- `detections`: GET /v1/detections, POST /v1/search, GET /v1/detections/{detection_id}: what was seen.
- `exports`: GET and POST /v1/export: all that a search finds, as one zip that is made while it is sent.
- `fast_route`: Routes whose usual requests are read by hand: reading their parameters through FastAPI costs as much as a large part of their answer.
- `health`: `/healthz` and `/readyz`, for whoever restarts and routes.
- `holds`: /v1/holds: legal holds, placed, shown and lifted.
- `image_metadata`: GET /v1/detections/{detection_id}/images/{kind}/metadata: what the image's file says of itself.
- `image_responses`: How one image is answered: a redirect, its bytes, what its row says, or what became of it.
- `image_urls`: GET …/images/{kind}/url and POST /v1/image-urls: presigned URLs, valid for as long as asked and allowed.
- `images`: GET and HEAD /v1/detections/{detection_id}/images/{kind}: the image itself, wherever it is by now.
- `keeping`: The routes that decide what stays and what goes: legal holds, deletion on request.
- `limits`: GET /v1/limits: what one batch may be.
- `metrics`: `GET /metrics`, for Prometheus.
- `objects`: GET /v1/objects/{key}: where URLs signed by this service itself lead, when browsers cannot reach the object store.
- `placeholder`: The picture that stands in for an image that cannot be shown, in the image's own shape.
- `reading`: The routes that people and their programs read by: what goes out, each look written down.
- `rendition_responses`: How one derived picture is answered: a redirect, its bytes, 304, or what became of the image.
- `renditions`: GET and HEAD …/images/{kind}/derived, GET …/derived/url: any size and format of an image.
- `resend`: `GET /v1/resend`: the images that a collector should send again.
- `stream`: GET /v1/stream: detections as they are committed, as server-sent events.
- `uploads`: `/v1/uploads`: images that collectors put into the store themselves, and the commit that makes detections of them.
"""

from platevault.web.api import collecting, keeping, reading

routers = (*collecting.routers, *reading.routers, *keeping.routers)
