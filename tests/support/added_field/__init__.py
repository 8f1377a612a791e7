"""A copy of the project in which cameras report one field more."""
