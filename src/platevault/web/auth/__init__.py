"""Credentials and sessions of a request.

- `credentials`: Who asks: one function makes an `Actor` from a bearer token or the pages' cookie, one more a `Look` that says why.
- `session`: The cookie of the pages: signed, bound to the token that it was traded for, and carrying why its holder looks.
"""
