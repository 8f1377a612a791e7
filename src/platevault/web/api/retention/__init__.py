"""Handlers of deletion on request.

- `deletions`: Delete one detection, or request, confirm and show a deletion by a filter.
"""
