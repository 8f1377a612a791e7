"""Actors, roles and the access log: who may do what, and the row that says who looked.

- `actor`: Who is asking, and how far that reaches.
- `sql/`: SQL of `access`.
"""
