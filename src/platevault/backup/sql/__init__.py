"""SQL of `backup`.

- `pg_dump`: Pg_dump and pg_restore of a fitting version, with the password in the environment.
"""
