"""PostgreSQL and SeaweedFS from wheels, as child processes.

- `certificate`: Self-signed certificate for the parts of one server.
- `cluster`: Servers in one data folder, and its `embedded.env`.
- `postgres`: PostgreSQL from a wheel, as a child process.
- `processes`: Child servers: start, watch, stop, recovery after a crash.
- `seaweedfs`: SeaweedFS from a wheel, as a child process that requires keys.
- `start`: Start of the embedded servers, with bucket and schema ready.
- `unprivileged`: The user of a server that refuses to run as root.
- `supervision`: Restart of embedded servers that exit unexpectedly.
"""
