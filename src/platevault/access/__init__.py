"""Actors, roles and the access log: who may do what, and the row that says who looked.

- `actor`: Actors, their scopes, and looks.
- `sql/`: SQL of `access`.
"""
