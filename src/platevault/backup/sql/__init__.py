"""SQL of `backup`.

- `pg_dump`: PostgreSQL's own pg_dump and pg_restore: found in a version that fits, and run with the password in the environment alone.
"""
