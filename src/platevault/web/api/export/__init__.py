"""Handlers of exports.

- `exports`: `GET` and `POST /v1/export`.
"""
