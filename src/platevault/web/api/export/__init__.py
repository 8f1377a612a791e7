"""Handlers of exports.

- `exports`: Return the results of a search as one zip archive, made while it is sent.
"""
