"""Legal holds: an image that is held is never deleted.

- `copy_hold`: Bring one hold as far as it comes in a short time: what waits in this node's spool is uploaded, and what is stored is copied.
- `copy_images`: Copy held images to holds/, and believe a copy only once its bytes were read back and hashed.
- `hold`: Legal holds: what is asked for, what a hold came to, and what its copies need.
- `lift`: Lift a legal hold: who and why is written down first, then its detections are let go.
- `place`: Place a legal hold: its rows first, from which moment nothing expires or deletes what it names; then the copies.
- `show`: Show holds: who had what held and why, what it came to, and each image of one.
- `verify_copies`: Every hour: does each verified copy of a held image still stand, and does a share of them still have its bytes?
- `sql/`: SQL of `holds`.
"""
