"""The control plane of an S3 server, by the MinIO SDK: buckets, rules, identities, tiers.

- `bucket`: The bucket itself, for whoever administers it: the only file that knows MinIO's SDK.
- `bucket_xml`: Lifecycle and CORS documents of a bucket: read without losing what we do not know, written back word for word.
- `identities`: The identities of a MinIO server, made through its admin API: the other file that imports MinIO's SDK.
- `lifecycle`: What the bucket itself may delete, and when: the rules that are wanted, and how far found ones are from them.
- `policies`: The identities of an object store and the least that each needs, as IAM policies (AWS policy language, 2012-10-17).
- `tier`: A cheaper place that an S3 server moves objects to: where it is, and in what words an operator names it.
- `tiers`: The remote tiers of a MinIO server, through its admin API (madmin's TierConfig, version v1).
- `watched_bucket`: A bucket together with the configuration that it should have.
"""
