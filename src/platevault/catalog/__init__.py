"""Search, images, URLs: what a reader asks of the vault.

- `cameras`: Known cameras for the search form, cached for one minute.
- `check_object`: Check whether the object of a stored image exists.
- `find`: Search results and single detections, with links, each look logged.
- `image_info`: Row and state of one image, without its bytes.
- `image_storage`: The public Python interface to images in the object store.
- `links`: Links to images: presigned if stored, a path of this service if pending.
- `plate_forms`: Compared forms of plates, written again after an update.
- `serve_object`: Objects behind URLs that this service signed.
- `show_detection`: One detection with links and holds, the look logged.
- `show_image`: One image: its object, its pending bytes, or its state.
- `sign_urls`: Presigned URLs of images, one or many.
- `feed/`: The change feed, in commit order.
- `sql/`: SQL of `catalog`.
"""
