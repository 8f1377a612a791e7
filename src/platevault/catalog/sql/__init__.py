"""SQL of `catalog`.

- `cameras`: The cameras that ever sent anything, from one index alone: a step per camera, however much each sent.
- `detection_with_holds`: One detection together with the holds that keep it at this moment.
- `images`: Rows of images that are asked for by their names, each the (detection id, kind) of one.
- `logged_search`: Detections found, and written down as seen before anybody has them; a page, newest first, in one statement.
- `plate_wildcards`: A page of plates with wildcards, newest first, at a cost that does not grow with the table.
- `search`: Detections with their images as PostgreSQL finds them: one statement a question, every value bound.
- `told_detections`: One detection with its images as one JSON text: the columns that make it, and its decoder.
"""
