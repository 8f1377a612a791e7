"""Handlers of health and metrics.

- `clock`: `POST /v1/clock/confirm`.
- `health`: `/healthz` and `/readyz`.
- `metrics`: `GET /metrics`.
"""
