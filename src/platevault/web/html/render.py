"""Pages from templates, in which everything is escaped unless it was made here."""

import re
from pathlib import Path
from typing import Any

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from platevault.web.html.facts import facts_of
from platevault.web.html.formatting import change, number, size, span
from platevault.web.html.image_view import BLANK, image_view, vehicle_of
from platevault.web.html.layout import PageLayout

_environment = Environment(
    loader=FileSystemLoader(Path(__file__).parents[1] / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def _with_code(text: str) -> Markup:
    """The text, escaped, with what stands between backticks as code."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704  it was escaped just now


_environment.filters |= {"with_code": _with_code, "number": number, "size": size, "span": span, "change": change}
_environment.globals |= {"picture_of": image_view, "vehicle_of": vehicle_of, "facts_of": facts_of, "blank": BLANK}


def page(template: str, *, status: int = 200, frame: PageLayout | None = None, **values: Any) -> HTMLResponse:
    """The page in its frame (`frame_of`); no cache keeps it."""
    text = _environment.get_template(template).render(frame=frame or PageLayout(), **values)
    return HTMLResponse(text, status_code=status, headers={"Cache-Control": "no-store"})
