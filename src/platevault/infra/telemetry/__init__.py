"""Metrics of all processes of a node.

- `metric_files`: Metric values of all processes of a node, as files.
- `metrics`: Counters of this process, and the Prometheus exposition.
"""
