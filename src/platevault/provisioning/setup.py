"""Everything that a new site needs before its first batch, as often as anybody likes: schema, bucket, identities."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from platevault.infra.objectstore.admin.identities import IdentityAdmin
from platevault.infra.objectstore.admin.policies import policies_for
from platevault.provisioning.bucket import BucketReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One identity's credential."""

    access_key: str
    secret_key: str


async def make_identities(
    admin: IdentityAdmin, *, bucket: str, keys: Mapping[str, Key], note: Callable[[str], None]
) -> None:
    """Each identity of `keys` (`service`, `presign`, `upload`) can do what its policy says afterwards, and no more.

    Raises `StoreMisconfigured` on a server without MinIO's admin API: its identities are the operator's to make, from the same
    policies.
    """
    for name, policy in policies_for(bucket).items():
        key = keys.get(name)
        if key is None:
            continue
        await admin.ensure(
            policy_name=f"platevault-{bucket}-{name}",
            policy=policy,
            access_key=key.access_key,
            secret_key=key.secret_key,
        )
        note(f"identity {name}: as it should be")


def sentences(report: BucketReport) -> list[str]:
    """What an operator reads about the bucket."""
    lines = [f"{title}: {text}" for title, texts in _titled(report) for text in texts]
    if report.kept:
        lines.append(f"kept: rules of somebody else: {', '.join(report.kept)}")
    return [*lines, f"bucket {report.bucket}: {'as it should be' if report.ok else 'not as it should be'}"]


def _titled(report: BucketReport) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return (("done", report.done), ("problem", report.problems), ("warning", report.warnings))
