"""The composition root: parts are opened, started, scheduled and stopped here.

- `clock`: Clock and random pauses of the process.
- `commands`: Vault and contexts of each process and command, from the environment.
- `credentials`: Credentials of the settings, by identity.
- `open`: Vault and contexts, from the settings.
- `schedule`: The table of scheduled jobs and the loop of a worker.
- `storage`: Object store, URL signers, admins of bucket, identities and tiers.
- `vault`: Parts of a running vault, their start and stop.
"""
