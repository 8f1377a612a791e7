"""The client side: what sends batches, downloads exports and draws scenes.

- `api_client`: HTTP client for the API of a vault.
- `batch`: A batch to send: photographs with their detections, as a request body.
- `demo_feed`: Drawn detections for a demo: a backlog, then new ones.
- `download_export`: Resumable download of an export into files.
- `export_parts`: Parts of an export on disk, verified before use.
- `journal`: The sender's record of acknowledged detections and refused batches.
- `manifests`: Image folders, CSV and JSON lines as photographs.
- `photo`: Photographs: crops, dimensions, capture times, drawn scenes.
- `photo_files`: Photographs of one folder, by their first bytes.
- `scene`: Shapes and colours of a drawn street.
- `scene_vehicles`: Vehicles of a drawn street, with their plates.
- `send`: Idempotent transfer of a folder or manifest to a vault.
- `time_zone`: The zone of times that name none.
"""
