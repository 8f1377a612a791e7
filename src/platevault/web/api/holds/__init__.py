"""Handlers of legal holds.

- `holds`: /v1/holds: legal holds, placed, shown and lifted.
"""
