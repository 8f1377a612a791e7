"""What is measured: the name, the kind, the labels and the meaning of every metric that `GET /metrics` shows."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from platevault.domain.errors import VaultError

PREFIX: Final = "platevault_"

# A metric and the values of its labels, in the order of `Measure.labels`.
Series = tuple[str, tuple[str, ...]]
# A counter and a gauge have one number. A histogram has one for each bucket, one for what is above them all, and the sum.
Numbers = Mapping[Series, list[float]]


class Kind(StrEnum):
    """How the values of several processes become one."""

    COUNTER = "counter"  # added up, those of dead processes too
    GAUGE = "gauge"  # added up over the processes that live
    HISTOGRAM = "histogram"  # as a counter
    LOOKED_UP = "looked_up"  # a gauge that is found when somebody asks


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One metric; `name` goes without the prefix. Buckets are upper bounds, in the unit of the name."""

    name: str
    kind: Kind
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def width(self) -> int:
        """How many numbers one series has."""
        return len(self.buckets) + 2 if self.kind is Kind.HISTOGRAM else 1


def _counter(name: str, meaning: str, *labels: str) -> Measure:
    return Measure(name=name, kind=Kind.COUNTER, meaning=meaning, labels=labels)


def _gauge(name: str, meaning: str) -> Measure:
    return Measure(name=name, kind=Kind.GAUGE, meaning=meaning)


def _found(name: str, meaning: str, *labels: str) -> Measure:
    return Measure(name=name, kind=Kind.LOOKED_UP, meaning=meaning, labels=labels)


def _spread(name: str, meaning: str, buckets: tuple[float, ...], *labels: str) -> Measure:
    return Measure(name=name, kind=Kind.HISTOGRAM, meaning=meaning, labels=labels, buckets=buckets)


_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0)
_ATTEMPTS: Final = (1.0, 2.0, 3.0)

MEASURES: Final = (
    # Requests
    _counter("requests_total", "Requests answered; status 0 where the client went first", "route", "method", "status"),
    _spread("request_seconds", "From the head of a request to the end of its answer", _SECONDS, "route"),
    _gauge("connections", "Open connections"),
    _gauge(
        "delivery_bytes", "Bytes in memory for clients that read images, at most DELIVERY_MEMORY_BYTES in each process"
    ),
    _gauge("followers", "Clients that follow GET /v1/stream"),
    _counter("connections_refused_total", "Connections refused because the cap was reached"),
    # Batches
    _counter("batches_total", "Batches by outcome: accepted, replayed, or why they were refused", "outcome"),
    _counter("detections_total", "Detections of new batches by the status they were answered", "status"),
    _counter("received_bytes_total", "Bytes of batches received, refused ones too"),
    _gauge("bodies_in_flight", "Batches whose body is being received or recorded"),
    # Spool
    _found("spool_bytes", "Bytes that the spool holds or has promised"),
    _found("spool_max_bytes", "The cap on them, SPOOL_MAX_BYTES"),
    _found("spool_disk_free_bytes", "Bytes free on the disk of the spool"),
    _found("spool_disk_reserve_bytes", "Bytes of it that stay free, DISK_RESERVE_BYTES"),
    _found("spool_files", "Batch files that wait in the spool"),
    _found("dead_letter_bytes", "Bytes set aside in the spool's dead/"),
    # Uploads
    _counter("puts_total", "Images by how their upload ended: stored, or the kind of failure", "outcome"),
    _counter("put_bytes_total", "Bytes of images stored"),
    _spread("put_seconds", "From the first attempt to the store's answer, of images stored", _SECONDS),
    _counter("puts_attempted_total", "Single attempts to put an image"),
    _spread("put_attempts", "Attempts that an image took until it was stored", _ATTEMPTS),
    _counter("images_given_up_total", "Images given up after too many refusals"),
    _gauge("breaker_open", "Processes that have paused their uploads because the store refuses"),
    _gauge("upload_limit", "Uploads that may run at once, over all processes"),
    _gauge("uploads_in_flight", "Uploads under way"),
    _found("object_store_up", "1 when the object store answered this process a moment ago"),
    # Derived pictures
    _counter("renders_total", "Derived pictures rendered: made, or the kind of failure", "outcome"),
    _spread("render_seconds", "From the original's bytes to the picture's, of those made", _SECONDS),
    # The vault, from the database
    _found("database_up", "1 when the database answered"),
    _found("images", "Images by state; pending, missing and dead are of now, others of the newest count", "state"),
    _found("dead_letters", "Images of this node that were given up and wait for an operator"),
    _found("oldest_pending_age_seconds", "Age of the image that has waited longest for its upload, 0 when none waits"),
    _found("generation_age_seconds", "Since the restore marker was advanced in the database"),
    _found("clock_skew_seconds", "How far the clock of this process is ahead of the database's"),
    _found(
        "clock_in_doubt", "1 while nothing is erased because the clocks of database and store differ, or one jumped"
    ),
    _found("worker_age_seconds", "Since a worker was seen last, on any node"),
    _gauge("database_pool_connections", "Connections that the pools may have, DB_POOL_SIZE of every process"),
    _gauge("database_pool_in_use", "Connections in use"),
    _gauge("database_pool_waiting", "Callers that wait for one"),
    _found("purged_detections", "Detections that became tombstones, by cause: retention or request", "cause"),
    _found(
        "overdue_age_seconds", "How long the oldest detection past its retention and not held has waited, 0 without one"
    ),
    _found("sweep_succeeded_seconds", "Unix time at which the last sweep that came to its end did so"),
    # Jobs
    _found("job_ended_seconds", "Unix time at which the newest run of a job ended", "job"),
    _found("job_outcome", "1 for the outcome of the newest run of a job: done, stopped or failed", "job", "outcome"),
    _found("job_count", "What the newest run of a job counted", "job", "what"),
    _found("build_info", "1; which version this is", "version"),
)

BY_NAME: Final[Mapping[str, Measure]] = {measure.name: measure for measure in MEASURES}


def kind_of(error: BaseException) -> str:
    """The kind of an error as a label: `spool_full`; one that we have no name for is `unexpected`."""
    if not isinstance(error, VaultError):
        return "unexpected"
    return _CAPITAL.sub("_", type(error).__name__).lower()


_CAPITAL: Final = re.compile(r"(?<!^)(?=[A-Z])")
