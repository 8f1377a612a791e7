"""What the pages share: layout, forms, formatting, charts.

- `charts`: Counts as bars: where each stands and how high, for a template to draw as SVG without any style of its own.
- `facts`: The reported fields of a detection that are lines of facts on its page, each with its label.
- `formatting`: Amounts as people read them: numbers, bytes, and how long something takes or took.
- `forms`: What a form of ours posts: a few fields of text, and nothing else.
- `health_messages`: The checks of `/readyz` and what an operator should look at, in plain sentences.
- `image_view`: How a page shows an image: where it is, how large, and where to ask when that fails.
- `layout`: The frame around every page: its colours, and who looks and why, which the bar on top shows.
- `preferences_cookie`: How somebody likes the pages: a cookie of this browser, in which nothing but these words can stand.
- `render`: Pages from templates, in which everything is escaped unless it was made here.
- `saved_searches`: What the search form asks, and the last searches of a browser in its own cookie: their URLs tell no plate, and Back works.
"""
