"""Credentials and sessions of a request.

- `credentials`: Actor and look of a request, from bearer token or cookie.
- `session`: The signed session cookie.
"""
