"""The picture that stands in for an image that cannot be shown."""

from typing import Final

from fastapi import Response

_WORDS: Final = {
    "pending": "Image on its way",
    "expired": "Image expired",
    "deleted": "Image deleted",
    "missing": "Image missing",
    "rejected": "Image rejected",
}
_PICTURE: Final = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 360" width="640" height="360" role="img">
<title>{words}</title><rect width="640" height="360" fill="#8a93a3" fill-opacity=".16"/>
<g fill="none" stroke="#7c8698" stroke-width="6" stroke-linejoin="round" stroke-linecap="round">
<rect x="262" y="104" width="116" height="88" rx="10"/><circle cx="296" cy="134" r="9"/>
<path d="M268 184l34-30 22 18 22-24 28 30M250 208L390 88"/></g>
<text x="320" y="250" fill="#6b7485" font-family="system-ui,sans-serif" font-size="24" text-anchor="middle">{words}</text>
</svg>
"""


def placeholder(state: str, *, status: int) -> Response:
    """A drawing that says what became of the image; `state` is an image state, anything else is shown as not there."""
    return Response(
        _PICTURE.format(words=_WORDS.get(state, "No such image")),
        status_code=status,
        media_type="image/svg+xml",
        headers={
            "Cache-Control": "no-store",
            "Content-Security-Policy": "sandbox",
            "X-Image-State": state,
        },
    )
