"""Views over the whole installation: readiness, doctor, overview, spool commands.

- `camera_activity`: Detections of each camera by the hour, and silent cameras.
- `check_backups`: The age of the oldest backup against retention.
- `check_images`: Missing images, dead letters and an outdated database, for `doctor`.
- `check_object_store`: The store as service, browser and stranger reach it, for `doctor`.
- `confirm_clock`: Confirmation of the database's clock at the command line.
- `declare_node_lost`: Declaration of a lost node.
- `diagnosis`: Findings of `doctor`.
- `doctor`: Diagnosis of an installation, without lasting changes.
- `drain_spool`: Complete upload of this node's spool before its retirement.
- `gauges`: Metrics of process, node and vault.
- `http_probe`: One GET without credentials.
- `image_url_test`: Test of image URLs as a browser uses them.
- `installation`: The installation that `doctor` examines.
- `overview`: The overview, cached for 30 seconds.
- `readiness`: Checks of `/readyz`.
- `spool_status`: Content of this node's spool, and retries of dead letters.
- `sql/`: SQL of `operations`.
"""
