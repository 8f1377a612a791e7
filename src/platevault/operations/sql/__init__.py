"""SQL of `operations`.

- `camera_activity`: Detections of each camera in a day, by a loose index scan.
- `counts`: Counts of the whole vault, from partial indexes and job runs.
"""
