"""The picture that stands in for an image that cannot be shown, in the image's own shape."""

from typing import Final

from fastapi import Response

_WORDS: Final = {
    "pending": "Image on its way",
    "expired": "Image expired",
    "deleted": "Image deleted",
    "missing": "Image missing",
    "rejected": "Image rejected",
}
# Where its own size is not known: a scene is shown wide, a plate much wider than high.
_USUAL: Final = (592, 333)  # no camera's size, nor half of one
_USUAL_OF_CROPS: Final = (320, 96)
# In pixels it is so much larger than the image: a page that knows the size of the image can tell the two apart.
_LARGER: Final = 2
# Beyond it a drawing would be a line.
_RATIO_MOST: Final = 8.0

_PICTURE: Final = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{pixels[0]}" height="{pixels[1]}" role="img">
<title>{words}</title>
<style>.ground{{fill:#e6e9ee}}.line{{stroke:#7c8698}}.words{{fill:#545e6c}}
@media(prefers-color-scheme:dark){{.ground{{fill:#14181e}}.words{{fill:#98a2b1}}}}</style>
<rect class="ground" width="{width}" height="{height}"/>
<g transform="translate({x:.1f} {y:.1f}) scale({scale:.4f})">
<g class="line" fill="none" stroke-width="6" stroke-linejoin="round" stroke-linecap="round">
<rect x="-58" y="-44" width="116" height="88" rx="10"/><circle cx="-24" cy="-14" r="9"/>
<path d="M-52 36l34-30 22 18 22-24 28 30{struck}"/></g>
<text class="words" {place} font-family="system-ui,sans-serif" font-size="{font}">{words}</text>
</g></svg>
"""
_STRUCK: Final = "M-70 60L70 -60"
# Icon above words, or beside them; (width, height) of both together, and where their middle is, in units of the icon's drawing.
_ABOVE: Final = ('x="0" y="102" text-anchor="middle"', 24, (220.0, 180.0), (0.0, 24.0))
_BESIDE: Final = ('x="92" y="15" text-anchor="start"', 44, (500.0, 130.0), (180.0, 0.0))


def placeholder(
    state: str, *, status: int, kind: str = "full", width: int | None = None, height: int | None = None
) -> Response:
    """A drawing that says what became of the image; `state` is an image state, anything else is shown as not there.

    It has the shape of the image, twice as large in pixels, or the usual shape of its kind.
    """
    return Response(
        _drawn(_WORDS.get(state, "No such image"), size=_size(kind, width, height), is_coming=state == "pending"),
        status_code=status,
        media_type="image/svg+xml",
        headers={
            "Cache-Control": "no-store",
            "Content-Security-Policy": "sandbox",
            "X-Image-State": state,
        },
    )


def _size(kind: str, width: int | None, height: int | None) -> tuple[int, int]:
    if not width or not height or not 1 / _RATIO_MOST <= width / height <= _RATIO_MOST:
        return _USUAL_OF_CROPS if kind == "crop" else _USUAL
    return width, height


def _drawn(words: str, *, size: tuple[int, int], is_coming: bool) -> str:
    width, height = size
    place, font, (wide, high), (left, up) = _BESIDE if width / height > 2.2 else _ABOVE
    scale = min(0.84 * width / wide, 0.84 * height / high, max(width, height) / 500)
    return _PICTURE.format(
        words=words,
        width=width,
        height=height,
        pixels=(_LARGER * width, _LARGER * height),
        struck="" if is_coming else _STRUCK,
        x=width / 2 - left * scale,
        y=height / 2 - up * scale,
        scale=scale,
        place=place,
        font=font,
    )
