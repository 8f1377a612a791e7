"""The checks of `/readyz` and what an operator should look at, in plain sentences."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from platevault.operations.camera_activity import Numbers, Traffic
from platevault.operations.overview import Overview
from platevault.web.html.formatting import number, size, span

WAITS_LONG: Final = timedelta(minutes=15)
SWEEP_LATE: Final = timedelta(days=1)
_NAMES: Final = {
    "database": ("Database", "It answers, and its schema is the one this version needs."),
    "spool": ("Spool", "There is room for what comes in."),
    "object_store": ("Object store", "It answers."),
    "restore_marker": ("Restore marker", "Database and store are of one age: no old backup was put in place of one."),
    "worker": ("Worker", "One is at work."),
    "clock": ("Clocks", "This service, the database and the store agree."),
    "embedded": ("Servers of this machine", "They run."),
    "bucket": ("Bucket", "Its rules are as they should be."),
    "image_urls": ("Image URLs", "Browsers can fetch images from the store."),
    "holds": ("Legal holds", "Every image under hold has its good copy."),
    "erasures": ("Erasures", "Each erasure on request is done in this database."),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One check: `is_ok`, what it is about, its state in a word, and a sentence."""

    is_ok: bool
    name: str
    state: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Concern:
    """Something to look at, and the id of the place on the page that tells more."""

    text: str
    place: str


def findings_of(checks: Mapping[str, Mapping[str, Any]]) -> tuple[Finding, ...]:
    """Each check of a readiness in words."""
    return tuple(_finding(name, check) for name, check in checks.items())


def concerns_of(overview: Overview) -> tuple[Concern, ...]:
    """What is not as it should be, the worst first; empty on a good morning."""
    return (
        *(
            Concern(
                text=f"{finding.name}: {finding.state}",
                place="clocks" if overview.clock_in_doubt and finding.name == _NAMES["clock"][0] else "health",
            )
            for finding in findings_of(overview.readiness.checks)
            if not finding.is_ok
        ),
        *_of_numbers(overview.numbers),
        *_of_traffic(overview.traffic),
    )


def _finding(name: str, check: Mapping[str, Any]) -> Finding:
    called, usual = _NAMES.get(name, (name.replace("_", " ").capitalize(), "As it should be."))
    state = str(check["status"])
    if state != "ok":
        reason = str(check.get("reason", "no reason is known")).rstrip(".")
        return Finding(is_ok=False, name=called, state=state, sentence=f"{reason[:1].upper()}{reason[1:]}.")
    return Finding(is_ok=True, name=called, state=state, sentence=" ".join([usual, *_more(check)]))


def _more(check: Mapping[str, Any]) -> Iterator[str]:
    if "used_bytes" in check:
        yield f"{size(check['used_bytes'])} of {size(check['max_bytes'])} are used."
    if "seen_seconds_ago" in check:
        yield f"Seen {span(timedelta(seconds=check['seen_seconds_ago']))} ago."
    if "looked_seconds_ago" in check:
        yield f"Looked at {span(timedelta(seconds=check['looked_seconds_ago']))} ago."


def _of_numbers(numbers: Numbers | None) -> Iterator[Concern]:
    if numbers is None:
        return
    if dead := numbers.images.get("dead", 0):
        yield Concern(text=_some(dead, "dead letter"), place="images")
    if missing := numbers.images.get("missing", 0):
        yield Concern(text=_some(missing, "missing image"), place="images")
    if numbers.oldest_pending > WAITS_LONG:
        yield Concern(text=f"An upload waits for {span(numbers.oldest_pending)}", place="images")
    if numbers.overdue > SWEEP_LATE:
        yield Concern(text=f"The sweep is {span(numbers.overdue)} late", place="keeping")


def _of_traffic(traffic: Traffic | None) -> Iterator[Concern]:
    if traffic is None:
        return
    if silent := len(traffic.silent):
        yield Concern(text=_some(silent, "silent camera"), place="cameras")
    if ahead := sum(one.clock_ahead for one in traffic.cameras):
        yield Concern(text=_some(ahead, "camera clock") + " ahead", place="cameras")


def _some(count: int, what: str) -> str:
    return f"{number(count)} {what}{'' if count == 1 else 's'}"
