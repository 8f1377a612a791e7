"""The client side: what sends batches, downloads exports and draws scenes.

- `api_client`: A Platevault reached over HTTP, as a collector reaches it; the only file that imports httpx2.
- `batch`: What a collector sends: photographs with what is known of them, as detections and as the body of a POST.
- `demo_feed`: Drawn detections for a demo: what several cameras saw in the last hours, and then what they see now.
- `download_export`: Fetch an export into files, part by part: what is on the disk is whole, and is where an interrupted one goes on.
- `export_parts`: The parts of an export on the exporter's disk: whole zips under their names, each read again before it counts.
- `journal`: The sender's own memory: which detections a vault has acknowledged, and which batches it will never take.
- `manifests`: Manifests of image folders, CSV and JSON lines, as `Photo`s and as the rows that are none.
- `photo`: Everything that looks into an image or makes one: plate crops, dimensions, capture times, drawn scenes.
- `scene`: What an invented street looks like: shapes and colours on a stage of 1280 × 720, which `rendering` paints.
- `scene_vehicles`: The invented vehicles of an invented street, seen from the front or from behind, each with its plate.
- `send`: Send a folder of photographs, or those that a manifest names, to a vault; once, whatever happens in between.
"""
