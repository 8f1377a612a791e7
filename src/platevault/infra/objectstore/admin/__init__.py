"""The control plane of an S3 server, by the MinIO SDK: buckets, rules, identities, tiers.

- `bucket`: Bucket configuration, through the MinIO client.
- `bucket_xml`: Lifecycle and CORS documents, unknown parts preserved.
- `identities`: Identities of a MinIO server, through its admin API.
- `lifecycle`: Wanted lifecycle rules, and their difference from existing ones.
- `policies`: Least-privilege IAM policy of each identity.
- `tier`: The cold tier: name, kind and location.
- `tiers`: Remote tiers of a MinIO server, through its admin API.
- `watched_bucket`: A bucket with its wanted configuration.
"""
