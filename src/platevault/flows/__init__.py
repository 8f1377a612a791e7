"""What the service does, one story per file."""
