"""Images on their way from the spool to the bucket.

- `drain`: The loop that uploads pending images of this node's spool.
- `explain`: Why an image is not in the bucket.
- `first_upload`: First upload of a batch, in the background of its answer.
- `heartbeat`: The heartbeat of this node.
- `lost_image`: Nodes, and images whose bytes are lost.
- `pending_image`: An image in the spool that is not yet in the object store.
- `put`: One put into the object store with three attempts, and its outcome.
- `put_images`: Puts of all images of a batch, together or one by one.
- `reclaim`: Images and dead letters that belong to this node again.
- `resend`: Lost images that a collector should send again.
- `upload`: The upload of one spool file, and its removal.
- `uploader`: Dependencies and limits of the uploader.
- `sql/`: SQL of `delivery`.
"""
