"""Set up an installation: schema, bucket, identities, tiers.

- `bucket`: Configuration and check of the bucket.
- `migrate`: Migration of the schema, and refusal of an older one.
- `setup`: Identities and keys of a new site.
- `tier`: Definition and trial of the cold tier.
"""
