"""Handlers of exports.

- `exports`: GET and POST /v1/export: all that a search finds, as one zip that is made while it is sent.
"""
