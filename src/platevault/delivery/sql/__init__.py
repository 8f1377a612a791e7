"""SQL of `delivery`.

- `explanations`: Delivery of the images of one detection.
- `images`: Pending images, their leases and outcomes.
- `lost_images`: Lost images and those to send again.
- `nodes`: Nodes and their last heartbeats.
- `removals`: Images of erased detections whose objects are still to be removed.
"""
