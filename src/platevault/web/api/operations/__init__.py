"""Handlers of health and metrics.

- `health`: `/healthz` and `/readyz`, for whoever restarts and routes.
- `metrics`: `GET /metrics`, for Prometheus.
"""
