"""SQL of `delivery`.

- `images`: Which images wait in a spool, who uploads them, and what became of each.
- `lost_images`: Images whose bytes are gone, with a node or from the bucket, and what their collectors should send again.
- `nodes`: The nodes of this vault and when each was seen last.
- `removals`: Images of erased detections whose bytes are still to be removed from the object store.
"""
