"""Views over the whole installation: readiness, doctor, overview, spool commands.

- `camera_activity`: What an operator looks at in the morning: how much each camera sent, hour by hour, and which of them fell silent.
- `check_images`: Images that need an operator: missing ones, dead letters, and a database that is older than its bucket.
- `check_object_store`: Look at the object store as the service, a browser and a thief of a URL would.
- `declare_node_lost`: Declare a node gone for good, so that its collectors are told what to send again.
- `diagnosis`: What a look at the installation found.
- `doctor`: Look at an installation as a whole and say what is wrong with it and how to mend it; changes nothing that lasts.
- `drain_spool`: Bring all that waits in the spool of this node into the object store, before the node is retired.
- `gauges`: Measure this process, its node and its vault, as Prometheus reads it.
- `http_probe`: One GET, as a browser or a stranger would make it.
- `installation`: An installation, as `doctor` looks at it.
- `overview`: The state of the vault on one page: asked for by many, found out once in 30 seconds, and told whatever of it is down.
- `readiness`: Can this process acknowledge a batch now, and what else is not as it should be?
- `spool_status`: What lies in the spool of this node, and dead letters that are to be tried again.
- `sql/`: SQL of `operations`.
"""
