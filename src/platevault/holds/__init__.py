"""Legal holds: an image that is held is never deleted.

- `copy_hold`: The first copies of a new hold, within a short time.
- `copy_images`: Copies of held images under `holds/`, verified by reading back.
- `hold`: Values of legal holds: request, outcome, copies.
- `lift`: Release of a legal hold, logged first.
- `place`: Placement of a legal hold: rows first, then copies.
- `show`: Holds, their history and their images.
- `verify_copies`: Hourly verification of hold copies, and of the bytes of a share of them.
- `sql/`: SQL of `holds`.
"""
