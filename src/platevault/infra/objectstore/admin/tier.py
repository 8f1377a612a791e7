"""A cheaper place that an S3 server moves objects to: where it is, and in what words an operator names it."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteTier:
    """A bucket on another server, under the name that a lifecycle rule gives it; `endpoint` is its URL as the server sees it.

    `kind`: `minio` for another MinIO, `s3` for any other.
    """

    name: str
    kind: Literal["minio", "s3"]
    endpoint: str
    bucket: str
    prefix: str = ""
    region: str = "us-east-1"

    @property
    def place(self) -> str:
        """URL, bucket and prefix, for comparing and for people."""
        return "/".join(part for part in (self.endpoint.rstrip("/"), self.bucket, self.prefix.strip("/")) if part)
