"""Metrics of all processes of a node.

- `metric_files`: The numbers of every process of this node, in a folder that they share.
- `metrics`: Counts what this process does, and shows it with the counts of all other processes of the node as Prometheus reads it.
"""
