"""SQL of `operations`.

- `camera_activity`: What each camera sent in a day, from one index alone: a step per camera, and then only the rows of the hours that are shown.
- `counts`: What the database knows of the whole vault, counted in a few milliseconds: from partial indexes, and from the newest runs of jobs.
"""
