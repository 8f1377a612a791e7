"""Set up an installation: schema, bucket, identities, tiers.

- `bucket`: Set the bucket up as Platevault needs it, or say what is not so.
- `migrate`: Bring the database to this version's schema, or refuse to serve on an older one.
- `setup`: Everything that a new site needs before its first batch, as often as anybody likes: schema, bucket, identities.
- `tier`: Define the cold tier on the server that has the bucket, or find it defined as it should be; then try it.
"""
