"""Search, images, URLs: what a reader asks of the vault.

- `cameras`: The cameras that a search may be for: asked for with every page of results, found out once a minute.
- `check_object`: See whether a stored image's object is there, for whoever was sent to it and came back without.
- `find`: Find detections: a page of a search, or one by its id, with links to their images; each look is written down first.
- `image_info`: Say what is known of one image, without its bytes.
- `image_storage`: Images of detections in the object store, for Python programs that need no service: a documented, stable surface.
- `links`: Link images: presigned for what is stored, this service's own path for what is still in a spool.
- `serve_object`: Show an object to whoever holds a URL that this service signed; issuing the URL was the look, and was written down.
- `show_detection`: Show one detection to somebody: with links to its images and the holds that keep it, once the look is written down.
- `show_image`: Show one image: where its object is, or the bytes that wait in this node's spool, or what became of it.
- `sign_urls`: Sign URLs of images by name: one for as long as asked, or many at once.
- `feed/`: The change feed: detections in the order of their commits.
- `sql/`: SQL of `catalog`.
"""
