"""SQL of `retention`.

- `classes`: Classes, due detections, and old rows of a shorter class.
- `erasure_cap`: Erasures of the last day and the operator's allowance.
- `purge_records`: Purge records, and the pruning of old tombstones.
- `report`: Oldest rows by camera, by index.
- `tombstones`: Tombstones, and objects still to be removed.
"""
