"""Handlers of legal holds.

- `holds`: `/v1/holds`.
"""
