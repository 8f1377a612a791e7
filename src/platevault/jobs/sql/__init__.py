"""SQL of `jobs`.

- `lock`: The maintenance lock.
- `restore_marker`: Vault id and generation number in the database.
- `runs`: Job runs, kept for 90 days.
- `vault_clock`: The database's clock and the newest time seen.
"""
