"""SQL of `retention`.

- `classes`: Classes, due detections, and old rows of a shorter class.
- `purge_records`: Purge records, and the pruning of old tombstones.
- `report`: Oldest rows by camera, by index.
- `tombstones`: Tombstones, and objects still to be removed.
"""
