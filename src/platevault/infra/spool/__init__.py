"""The spool: local durable disk of one node.

- `dead_letters`: `dead/`: what could not go on by itself, kept with its reason until somebody looks, under a cap of its own.
- `draft`: A spool file while it is being written: one pass over the bytes that hashes and looks at them, one trip to a thread that writes.
- `file_format`: One batch as one file: the parts one after the other, then an index that says where each lies.
- `spool`: The spool: this node's durable folder, where accepted bytes wait until the object store has them.
- `usage`: How many bytes the spool of this node holds or has promised: one number for all its processes, in a locked file.
"""
