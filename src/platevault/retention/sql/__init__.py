"""SQL of `retention`.

- `classes`: Retention: the classes, what is due, and which old rows a shorter class reaches. Never a scan of the whole table at once.
- `purge_records`: Purge records: what each run erased, so that it can be proved later; and what goes when even tombstones are old.
- `report`: How old what is kept is, camera by camera, without looking at every row.
- `tombstones`: Tombstones: detections whose personal data is erased, and the bytes of their images that are still to be removed.
"""
