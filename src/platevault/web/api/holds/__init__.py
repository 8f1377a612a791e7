"""Handlers of legal holds.

- `holds`: Place, show and lift legal holds.
"""
