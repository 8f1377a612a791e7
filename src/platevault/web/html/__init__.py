"""What the pages share: layout, forms, formatting, charts.

- `charts`: Positions and heights of bar charts, for SVG templates.
- `formatting`: Numbers, bytes and durations as text.
- `forms`: Fields of posted forms.
- `health_messages`: Sentences for the checks of `/readyz`.
- `image_view`: Image of a detection on a page: URL, size and fallback.
- `layout`: Frame of every page.
- `preferences_cookie`: The preferences cookie.
- `render`: Templates with escaping.
- `saved_searches`: Last searches of a browser, in a cookie.
- `facts`: Reported fields with their labels, for the detection page.
"""
