"""The data plane of an S3 server: puts over connections of our own, everything else by obstore.

- `connection_pool`: Keep-alive connections to one server.
- `dns_cache`: DNS cache with one lookup for concurrent callers.
- `errors`: Error classes of S3 answers.
- `grouped_puts`: Puts of a batch together, with one future for all.
- `http_connection`: One HTTP connection, one request at a time.
- `presign`: Presigned URLs, AWS Signature Version 4.
- `proxied_put`: Puts through an HTTP proxy.
- `put`: Signed puts over keep-alive connections.
- `sigv4`: AWS Signature Version 4 in the request header.
- `store`: The S3 object store.
- `told_time`: The clock of the server, by the `Date` of an answer.
"""
