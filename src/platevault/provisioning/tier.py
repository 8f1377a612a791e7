"""Define the cold tier on the server that has the bucket, or find it defined as it should be; then try it."""

from dataclasses import dataclass

from platevault.domain.errors import StoreMisconfigured
from platevault.infra.objectstore.admin.tier import RemoteTier
from platevault.infra.objectstore.admin.tiers import TierAdmin
from platevault.provisioning.setup import Key


@dataclass(frozen=True, slots=True, kw_only=True)
class TierReport:
    """`tiers`: all that the server knows; `done`: what was changed; `verified`: the name of the one that was tried."""

    tiers: tuple[RemoteTier, ...]
    done: tuple[str, ...] = ()
    verified: str | None = None


async def define_tier(tier: RemoteTier, *, admin: TierAdmin, key: Key, new_key: bool = False) -> TierReport:
    """The tier is there and was tried, as often as anybody likes; one that stands gets `key` only with `new_key`, or when
    the server cannot use it as it is.

    Raises `StoreMisconfigured` where the name leads elsewhere already: objects may be there, which only that name finds.
    """
    standing = {each.name: each for each in await admin.list()}.get(tier.name)
    done: list[str] = []
    if standing is None:
        await admin.add(tier, access_key=key.access_key, secret_key=key.secret_key)
        done.append(f"Defined tier {tier.name} at {tier.place}.")
    elif (standing.kind, standing.place) != (tier.kind, tier.place):
        raise StoreMisconfigured(
            f"tier {tier.name} leads to {standing.place} already, and a tier cannot be moved: choose another TIER_NAME, or"
            " give TIER_ENDPOINT, TIER_BUCKET and TIER_PREFIX as they are there"
        )
    elif new_key or not await _works(tier.name, admin):
        await admin.give_key(tier.name, access_key=key.access_key, secret_key=key.secret_key)
        done.append(f"Gave tier {tier.name} its new key.")
    await admin.verify(tier.name)
    return TierReport(tiers=await admin.list(), done=tuple(done), verified=tier.name)


async def _works(name: str, admin: TierAdmin) -> bool:
    try:
        await admin.verify(name)
    except StoreMisconfigured:
        return False
    return True


async def show_tiers(name: str | None, *, admin: TierAdmin) -> TierReport:
    """What the server knows; the tier of that name is tried. Raises `StoreMisconfigured` where it is not defined."""
    tiers = await admin.list()
    if name is not None:
        if name not in {tier.name for tier in tiers}:
            raise StoreMisconfigured(f"tier {name} is not defined: set TIER_ENDPOINT and run `platevault bucket tier`")
        await admin.verify(name)
    return TierReport(tiers=tiers, verified=name)
