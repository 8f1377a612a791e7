"""Handlers of health and metrics.

- `health`: `/healthz` and `/readyz`.
- `metrics`: `GET /metrics`.
"""
