"""`make outage`: one scenario after the other, and at the end one table of what each showed.

python -m tests.outage.run [--short] [--only NAME]... [--seed N] [--detections 10000] [--faults 200]
"""

import argparse
import secrets
import time
from typing import Final

from tests.outage.export import export
from tests.outage.rows.ack_latency import ack_latency
from tests.outage.rows.broken_bodies import broken_bodies
from tests.outage.rows.clocks import clocks
from tests.outage.rows.destroyed_node import destroyed_node
from tests.outage.rows.embedded_children import embedded_children
from tests.outage.rows.faults import faults
from tests.outage.rows.full_disk import full_disk
from tests.outage.rows.hold_storm import hold_storm
from tests.outage.rows.io_faults import io_faults
from tests.outage.rows.lost_commit import lost_commit
from tests.outage.rows.overload import overload
from tests.outage.rows.power_cut import power_cut
from tests.outage.rows.restored_dump import restored_dump
from tests.outage.rows.slow_connections import slow_connections
from tests.outage.rows.slow_readers import slow_readers
from tests.outage.rows.store_gone import small_disk, store_gone
from tests.outage.scenario import Asked, Scenario, run_one, run_to_end, say, table

SCENARIOS: Final = (
    Scenario("faults", faults, "all zero, whatever dies or breaks under load"),
    Scenario("lost commit", lost_commit, "never acknowledged as lost; the retry gets the answer"),
    Scenario("n-th I/O fails", io_faults, "503, or kept; nothing left behind, no sync tried again"),
    Scenario("power cut", power_cut, "nothing acknowledged is lost"),
    Scenario("restored dump", restored_dump, "orphans seen, no object deleted; rebuild restores every field"),
    Scenario("destroyed node", destroyed_node, "what was lost with it is asked for, sent again and healed"),
    Scenario("store gone", store_gone, "all taken up to the cap, drained, oldest-pending right"),
    Scenario("small disk", small_disk, "only 503 with Retry-After, recovers by itself"),
    Scenario(
        "full disk", full_disk, "PostgreSQL lives, reads go on, 503 with Retry-After, nothing lost, room is taken again"
    ),
    Scenario("embedded children killed", embedded_children, "healed within 15 s, nothing lost, nothing doubled"),
    Scenario("cut and flipped", broken_bodies, "never 2xx unless the manifest matches"),
    Scenario("hold storm", hold_storm, "every confirmed hold readable with its digest, 0 exceptions"),
    Scenario("ack latency", ack_latency, "p99 with S3 black-holed at most 10 % above healthy"),
    Scenario("slow connections", slow_connections, "others' p99 at most 1.5x; closed in time"),
    Scenario("slow readers", slow_readers, "200 readers of 16 MiB images cost at most 64 MiB; others notice nothing"),
    Scenario("overload", overload, "memory flat, refused in 100 ms, goodput 90 % of peak, normal in 30 s"),
    Scenario("clocks", clocks, "service, database or store -1 h, +1 h, +400 d: nothing erased, nothing gone"),
    Scenario("export", export, "100,000 detections in one zip: memory flat, unzip and Python agree, digests equal"),
)


async def main() -> int:
    """Run what was asked for and print the table; exit code 0 when nothing failed."""
    asked, names = _read()
    say(f"seed {asked.seed}{', short form' if asked.short else ''}")
    began = time.monotonic()
    rows = [await run_one(scenario, asked) for scenario in SCENARIOS if not names or scenario.name in names]
    failed = [row.scenario.name for row in rows if not row.shown.holds]
    skipped = sum(row.shown.skipped for row in rows)
    say(f"\n{table(rows)}\n\n{len(rows)} scenarios, {skipped} of them skipped, {time.monotonic() - began:.0f} s")
    say(f"NOT AS PROMISED: {', '.join(failed)}; again with --seed {asked.seed}" if failed else "all of it holds")
    return 1 if failed else 0


def _read() -> tuple[Asked, list[str]]:
    """What was asked for, and of which scenarios; none named means all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="a form of a few minutes, for each change")
    parser.add_argument("--only", action="append", default=[], choices=[scenario.name for scenario in SCENARIOS])
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    parser.add_argument("--detections", type=int, help="of the scenario `faults`")
    parser.add_argument("--faults", type=int, help="of the scenario `faults`")
    given = parser.parse_args()
    asked = Asked(seed=given.seed, short=given.short, detections=given.detections, faults=given.faults)
    return asked, given.only


if __name__ == "__main__":
    run_to_end(main)
