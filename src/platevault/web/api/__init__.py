"""The JSON routes, one noun a file."""
