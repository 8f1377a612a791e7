"""SQL of `catalog`.

- `cameras`: Cameras that sent detections, by a loose index scan.
- `detection_with_holds`: One detection with the holds on it.
- `images`: Rows of images by detection id and kind.
- `logged_search`: A search page and its row of the access log, in one statement.
- `plate_either`: Misread-tolerant pages: by the plate, or by another reading of it.
- `plate_forms`: Compared forms of plates, in the order of the change feed.
- `plate_wildcards`: Pages of plate wildcard searches, at a cost independent of the table size.
- `search`: The search statement, every value bound.
- `told_detections`: Columns and decoder of one detection as JSON.
"""
