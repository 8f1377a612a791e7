"""The list of all routes: method, path, handler, and what OpenAPI says about the handler."""

from typing import Final

from platevault.web.api.catalog import detections, image_urls, images, objects, stream
from platevault.web.api.export import exports
from platevault.web.api.holds import holds
from platevault.web.api.ingest import batch_status, batches, limits, resend, uploads
from platevault.web.api.operations import clock, health, metrics
from platevault.web.api.renditions import derived, image_metadata
from platevault.web.api.retention import deletions
from platevault.web.pages import detection as detection_page
from platevault.web.pages import detections as detections_pages
from platevault.web.pages import docs, live, login, overview, preferences
from platevault.web.route import Route
from platevault.web.schemas.catalog import (
    DETECTION_ANSWERS,
    IMAGE_URL_ANSWERS,
    IMAGE_URLS_ANSWERS,
    LIST_ANSWERS,
    SEARCH_ANSWERS,
    STREAM_ANSWERS,
)
from platevault.web.schemas.export import EXPORT_ANSWERS, EXPORT_PARAMETERS, EXPORT_SEARCH_ANSWERS
from platevault.web.schemas.holds import HELD_IMAGES_ANSWERS, HOLD_ANSWERS, HOLDS_ANSWERS, LIFT_ANSWERS, PLACE_ANSWERS
from platevault.web.schemas.images import (
    DERIVED_IMAGE_ANSWERS,
    DERIVED_IMAGE_HEAD_ANSWERS,
    IMAGE_ANSWERS,
    IMAGE_HEAD_ANSWERS,
    OBJECT_ANSWERS,
)
from platevault.web.schemas.ingest import (
    BATCH_ANSWERS,
    BATCH_BODY,
    BATCH_STATE_ANSWERS,
    COMMIT_ANSWERS,
    LIMITS_ANSWERS,
    LOST_IMAGES_ANSWERS,
    MANIFEST_BODY,
)
from platevault.web.schemas.operations import CLOCK_ANSWERS, HEALTH_ANSWERS, METRICS_ANSWERS, READINESS_ANSWERS
from platevault.web.schemas.parameters import SEARCH_PARAMETERS, STREAM_PARAMETERS
from platevault.web.schemas.renditions import DERIVED_IMAGE_URL_ANSWERS, IMAGE_METADATA_ANSWERS
from platevault.web.schemas.retention import CONFIRM_ANSWERS, DELETE_ANSWERS, DELETION_ANSWERS, REQUEST_ANSWERS
from platevault.web.schemas.uploads import CREATE_UPLOAD_ANSWERS, UPLOAD_ANSWERS

# Requests are compared with the rows from top to bottom, so the busiest rows come first.
API: Final[tuple[Route, ...]] = (
    Route(
        "POST",
        "/v1/detections",
        batches.create_batch,
        "ingest",
        "Send a batch",
        BATCH_ANSWERS,
        body=BATCH_BODY,
        fast=batches.create_batch_by_hand,
    ),
    Route(
        "GET",
        "/v1/detections",
        detections.list_detections,
        "detections",
        "List detections, newest first, or as a change feed",
        LIST_ANSWERS,
        parameters=SEARCH_PARAMETERS,
        fast=detections.list_detections_by_hand,
    ),
    Route(
        "POST",
        "/v1/search",
        detections.search_detections,
        "detections",
        "Search detections with filters in the body",
        SEARCH_ANSWERS,
    ),
    Route(
        "GET",
        "/v1/detections/{detection_id}",
        detections.get_detection,
        "detections",
        "Get one detection",
        DETECTION_ANSWERS,
    ),
    Route(
        "GET",
        "/v1/stream",
        stream.stream_detections,
        "detections",
        "Follow new detections",
        STREAM_ANSWERS,
        parameters=STREAM_PARAMETERS,
        streams=True,
    ),
    Route(
        "GET", "/v1/detections/{detection_id}/images/{kind}", images.get_image, "images", "Get an image", IMAGE_ANSWERS
    ),
    Route(
        "HEAD",
        "/v1/detections/{detection_id}/images/{kind}",
        images.head_image,
        "images",
        "Get the headers of an image",
        IMAGE_HEAD_ANSWERS,
    ),
    Route(
        "GET",
        "/v1/detections/{detection_id}/images/{kind}/url",
        image_urls.get_image_url,
        "images",
        "Get the URL of an image",
        IMAGE_URL_ANSWERS,
    ),
    Route(
        "POST", "/v1/image-urls", image_urls.get_image_urls, "images", "Get the URLs of many images", IMAGE_URLS_ANSWERS
    ),
    Route(
        "GET",
        "/v1/detections/{detection_id}/images/{kind}/derived",
        derived.get_derived_image,
        "images",
        "Get a derived image",
        DERIVED_IMAGE_ANSWERS,
    ),
    Route(
        "HEAD",
        "/v1/detections/{detection_id}/images/{kind}/derived",
        derived.head_derived_image,
        "images",
        "Get the headers of a derived image",
        DERIVED_IMAGE_HEAD_ANSWERS,
    ),
    Route(
        "GET",
        "/v1/detections/{detection_id}/images/{kind}/derived/url",
        derived.get_derived_image_url,
        "images",
        "Get the URL of a derived image",
        DERIVED_IMAGE_URL_ANSWERS,
    ),
    Route(
        "GET",
        "/v1/detections/{detection_id}/images/{kind}/metadata",
        image_metadata.get_image_metadata,
        "images",
        "Get the metadata of an image file",
        IMAGE_METADATA_ANSWERS,
    ),
    Route(
        "GET",
        "/v1/objects/{key:path}",
        objects.get_object,
        "images",
        "Get an object by a URL that was signed here",
        OBJECT_ANSWERS,
    ),
    Route(
        "GET",
        "/v1/export",
        exports.export_detections,
        "export",
        "Export detections with their images",
        EXPORT_ANSWERS,
        parameters=EXPORT_PARAMETERS,
        streams=True,
    ),
    Route(
        "POST",
        "/v1/export",
        exports.export_search,
        "export",
        "Export detections with filters in the body",
        EXPORT_SEARCH_ANSWERS,
    ),
    Route(
        "GET",
        "/v1/collectors/{collector_id}/batches/{batch_id}",
        batch_status.get_batch,
        "ingest",
        "Get the state of a batch",
        BATCH_STATE_ANSWERS,
    ),
    Route("GET", "/v1/resend", resend.list_lost_images, "ingest", "List the images to send again", LOST_IMAGES_ANSWERS),
    Route("GET", "/v1/limits", limits.get_limits, "ingest", "Get the limits of a batch", LIMITS_ANSWERS),
    Route("POST", "/v1/uploads", uploads.create_upload, "uploads", "Open a direct upload", CREATE_UPLOAD_ANSWERS),
    Route(
        "GET",
        "/v1/uploads/{upload_id}",
        uploads.get_upload,
        "uploads",
        "Get the state of a direct upload",
        UPLOAD_ANSWERS,
    ),
    Route(
        "POST",
        "/v1/uploads/{upload_id}/commit",
        uploads.commit_upload,
        "uploads",
        "Commit a direct upload",
        COMMIT_ANSWERS,
        body=MANIFEST_BODY,
    ),
    Route(
        "POST",
        "/v1/uploads/{upload_id}/abort",
        uploads.abort_upload,
        "uploads",
        "Abort a direct upload",
        UPLOAD_ANSWERS,
    ),
    Route("POST", "/v1/holds", holds.place_hold, "holds", "Place a legal hold", PLACE_ANSWERS),
    Route("GET", "/v1/holds", holds.list_holds, "holds", "List legal holds", HOLDS_ANSWERS),
    Route("GET", "/v1/holds/{hold_id}", holds.get_hold, "holds", "Get one legal hold", HOLD_ANSWERS),
    Route(
        "GET",
        "/v1/holds/{hold_id}/images",
        holds.list_held_images,
        "holds",
        "List the images under a legal hold",
        HELD_IMAGES_ANSWERS,
    ),
    Route("POST", "/v1/holds/{hold_id}/lift", holds.lift_hold, "holds", "Lift a legal hold", LIFT_ANSWERS),
    Route(
        "DELETE",
        "/v1/detections/{detection_id}",
        deletions.delete_detection,
        "deletions",
        "Delete one detection",
        DELETE_ANSWERS,
    ),
    Route(
        "POST",
        "/v1/deletions",
        deletions.request_deletion,
        "deletions",
        "Request a deletion by a filter",
        REQUEST_ANSWERS,
    ),
    Route(
        "GET",
        "/v1/deletions/{deletion_id}",
        deletions.get_deletion,
        "deletions",
        "Get the state of a deletion",
        DELETION_ANSWERS,
    ),
    Route(
        "POST",
        "/v1/deletions/{deletion_id}/confirm",
        deletions.confirm_deletion,
        "deletions",
        "Confirm a deletion",
        CONFIRM_ANSWERS,
    ),
    Route("GET", "/healthz", health.get_health, "health", "Get whether this process is alive", HEALTH_ANSWERS),
    Route(
        "GET", "/readyz", health.get_readiness, "health", "Get whether this process can take a batch", READINESS_ANSWERS
    ),
    Route(
        "GET",
        "/metrics",
        metrics.get_metrics,
        "health",
        "Get the metrics of this node, for Prometheus",
        METRICS_ANSWERS,
    ),
    Route(
        "POST",
        "/v1/clock/confirm",
        clock.confirm_clock,
        "health",
        "Confirm the clock of the database",
        CLOCK_ANSWERS,
    ),
)

PAGES: Final[tuple[Route, ...]] = (
    Route("GET", "/", detections_pages.newest),
    Route("POST", "/search", detections_pages.begin_search),
    Route("GET", "/search/{search_id}", detections_pages.show_search),
    Route("GET", "/search/{search_id}/stream", live.stream_search, streams=True),
    Route("GET", "/detections/{detection_id}", detection_page.show_detection),
    Route("GET", "/detections/{detection_id}/images/{kind}/save", detection_page.save_image),
    Route("GET", "/docs", docs.show_docs),
    Route("GET", "/login", login.show_login),
    Route("POST", "/login", login.log_in),
    Route("POST", "/reason", login.change_reason),
    Route("POST", "/logout", login.log_out),
    Route("GET", "/overview", overview.show_overview),
    Route("POST", "/clock/confirm", overview.confirm_clock_here),
    Route("POST", "/preferences", preferences.set_preferences),
)

ROUTES: Final[tuple[Route, ...]] = API + PAGES
