"""The composition root: parts are opened, started, scheduled and stopped here.

- `clock`: the clock and random pauses of the process.
- `commands`: contexts of each process and command, from the environment.
- `credentials`: credentials of the settings, by identity.
- `open`: the vault and its contexts, from the settings.
- `schedule`: the table of scheduled jobs and the loop of a worker.
- `storage`: object store, URL signers, admins of bucket, identities and tiers.
- `vault`: the parts of a running vault, their start and stop.
"""
