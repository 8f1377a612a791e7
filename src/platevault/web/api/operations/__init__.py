"""Handlers of health and metrics.

- `health`: Liveness and readiness, for process managers and load balancers.
- `metrics`: Metrics of this node, for Prometheus.
"""
