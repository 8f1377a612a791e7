"""Answers with the bytes of images, for OpenAPI."""

from typing import Final

from platevault.domain.object_keys import EXTENSIONS
from platevault.web.schemas.openapi import Responses, binary, empty, problems

_NOT_MODIFIED: Final = empty(304, "Not modified.")
_RANGE: Final = binary("The range of the bytes that `Range` names.", EXTENSIONS, status=206)
_REDIRECT: Final = empty(307, "A redirect to the object store, valid for a short time.")

IMAGE_ANSWERS: Final[Responses] = (
    binary("The bytes, while the image is pending on this node.", EXTENSIONS)
    | _RANGE
    | _NOT_MODIFIED
    | _REDIRECT
    | problems(404, 410, 416, 429, drawn=(404, 410, 503))
)
IMAGE_HEAD_ANSWERS: Final[Responses] = empty(200, "The headers of the bytes.") | problems(without_body=(404, 410))
DERIVED_IMAGE_ANSWERS: Final[Responses] = (
    binary("The bytes, if this service delivers images or if the original is pending.", EXTENSIONS)
    | _NOT_MODIFIED
    | _REDIRECT
    | problems(404, 410, 429, drawn=(404, 410, 503))
)
DERIVED_IMAGE_HEAD_ANSWERS: Final[Responses] = (
    empty(200, "The headers of the bytes.") | _NOT_MODIFIED | problems(429, without_body=(404, 410))
)
OBJECT_ANSWERS: Final[Responses] = binary("The bytes.", EXTENSIONS) | _RANGE | _NOT_MODIFIED | problems(404, 416, 429)
