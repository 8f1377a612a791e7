"""The only room with drivers: S3, disk, PostgreSQL, HTTP clients."""
