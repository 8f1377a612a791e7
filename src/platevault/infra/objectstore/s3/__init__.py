"""The data plane of an S3 server: puts over connections of our own, everything else by obstore.

- `connection_pool`: Connections to one server, kept open from one request to the next.
- `dns_cache`: Where a server is by its name: looked up once for all who ask meanwhile, in a thread that nothing else waits for.
- `errors`: What an S3 answer that is not a success means: wait and try again, or somebody has to change a setting.
- `http_connection`: One HTTP connection that carries one request at a time, and reads whatever comes back as far as it is of use.
- `presign`: URLs into the object store that are good for one request: AWS Signature Version 4 in the query, by arithmetic alone.
- `proxied_put`: Puts by the client library, for where the environment names a proxy on the way to the store: it knows the ways of proxies.
- `put`: Puts into one bucket of an S3 server: one signed request each, over connections that stay open.
- `sigv4`: The head of a request to S3, signed: AWS Signature Version 4 in a header, over all headers and the digest of the body.
- `store`: Image bytes in S3: MinIO, SeaweedFS, AWS or any other server that speaks it.
"""
