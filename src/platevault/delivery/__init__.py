"""Images on their way from the spool to the bucket.

- `drain`: Upload what waits in this node's spool, for as long as the process lives.
- `heartbeat`: Say that this node is alive, so that others know whose spool still counts.
- `lost_image`: Nodes, and images whose bytes are gone.
- `pending_image`: An image that is accepted and not yet in the object store.
- `put`: Bring one waiting image into the object store: up to three attempts at once, and a name for whatever comes of them.
- `reclaim`: Find what is this node's own again: images that were declared lost with it, and dead letters that no row names.
- `resend`: What a collector should send again: images whose bytes were lost, with a node or from the bucket.
- `upload`: Bring the waiting images of one spool file into the object store, and let the file go.
- `uploader`: The way from the spool into the object store: what uploading needs, and what each outcome means for those that follow.
- `sql/`: SQL of `delivery`.
"""
