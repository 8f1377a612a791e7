"""Handlers of the pages.

- `detection`: The page of one detection: the scene with its plate marked, the crop, and all that is known; its images to save.
- `detections`: The pages of results: the newest detections, and what a search found.
- `docs`: /docs: every route with its examples, to be tried from the page itself; nothing is loaded from elsewhere.
- `live`: The stream behind a search of the pages: what comes in and the search finds, without a plate in any URL.
- `login`: /login trades the viewers' token for a cookie, /reason changes why its holder looks, /logout takes it back.
- `overview`: The overview: how the vault is, and what each camera sent.
- `preferences`: POST /preferences: how somebody likes the pages, from the switches of the pages themselves.
"""
