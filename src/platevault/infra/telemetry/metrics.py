"""Counts what this process does, and shows it with the counts of all other processes of the node as Prometheus reads it.

Counting is arithmetic in memory. A thread writes it into the node's folder a few times a second, so that a disk that is slow,
full or read-only costs numbers and never a batch; a killed process loses what it counted since, which nobody has seen yet.
"""

import math
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final
from uuid import UUID

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from platevault.domain.metric_definitions import BY_NAME, MEASURES, PREFIX, Kind, Measure, Numbers, Series, kind_of
from platevault.infra.telemetry.metric_files import MetricFile, MetricValues, read_others

log = structlog.get_logger(__name__)

WRITE_EVERY_SECONDS: Final = 0.25
# Labels are of bounded kinds; this is for the day when one is not.
SERIES_MAX: Final = 2000
CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4


class Metrics:
    """The counts of one process. No method raises, blocks or touches the disk but `start`, `stop` and `exposition`."""

    def __init__(self, folder: Path | None, process_id: UUID) -> None:
        """In memory until `start`, and for good without a folder."""
        self._folder = folder
        self._process_id = process_id
        self._numbers: dict[Series, list[float]] = {}
        self._watched: dict[str, Callable[[], float]] = {}
        self._counting = threading.Lock()
        self._writing = threading.Lock()
        self._written: Numbers = {}
        self._file: MetricFile | None = None
        self._failed: str | None = None
        self._stopping = threading.Event()
        self._writer: threading.Thread | None = None

    @classmethod
    def none(cls) -> "Metrics":
        """Counts for itself alone, and keeps nothing."""
        return cls(None, UUID(int=0))

    # Requests

    def request(self, *, route: str, method: str, status: int, seconds: float) -> None:
        self._add("requests_total", (route, method, str(status)))
        self._observe("request_seconds", seconds, (route,))

    def connections(self, number: int) -> None:
        """So many are open in this process."""
        self._set("connections", float(number))

    def connection_refused(self) -> None:
        self._add("connections_refused_total")

    # Batches

    def received(self, size: int) -> None:
        """So many bytes of a batch came in."""
        self._add("received_bytes_total", by=float(size))

    def batch(self, outcome: str) -> None:
        """One batch ended: `accepted`, `replayed`, or the kind of refusal."""
        self._add("batches_total", (outcome,))

    def detections(self, status: str, number: int) -> None:
        """So many detections of a new batch were answered with this status."""
        self._add("detections_total", (status,), by=float(number))

    # Uploads

    def put_attempted(self, images: int = 1) -> None:
        """One attempt to put each of these images begins."""
        self._add("puts_attempted_total", by=float(images))

    def image_put(self, *, seconds: float, size: int, attempts: int = 1) -> None:
        """The store has one image, after so many seconds and attempts."""
        self._add("puts_total", ("stored",))
        self._add("put_bytes_total", by=float(size))
        self._observe("put_seconds", seconds)
        self._observe("put_attempts", float(attempts))

    def put_failed(self, kind: str) -> None:
        """One image could not be put now; `kind` is the name of an error of ours, never its text."""
        self._add("puts_total", (kind,))

    def dead_letter(self) -> None:
        """One image was given up."""
        self._add("images_given_up_total")

    # Derived pictures

    def picture_made(self, *, seconds: float) -> None:
        """One picture was rendered, waiting for its turn included."""
        self._add("renders_total", ("made",))
        self._observe("render_seconds", seconds)

    def picture_failed(self, error: Exception) -> None:
        """One picture could not be rendered; the kind of the error is counted, never its text."""
        self._add("renders_total", (kind_of(error),))

    # What is looked at rather than counted

    def watch(self, name: str, read: Callable[[], float]) -> None:
        """The gauge `name` is what `read` gives whenever the numbers are written; it may not block."""
        self._watched[name] = read

    # The node's folder

    def start(self) -> None:
        """From now on the other processes of the node see these numbers. Blocks on the disk."""
        if self._folder is None or self._writer is not None:
            return
        self.write()
        self._stopping.clear()
        self._writer = threading.Thread(target=self._keep_writing, name="meters", daemon=True)
        self._writer.start()

    def stop(self) -> None:
        """The last numbers are written; blocks on the disk."""
        if self._writer is None:
            return
        self._stopping.set()
        self._writer.join()
        self._writer = None
        self.write()
        with self._writing:
            if self._file is not None:
                self._file.close()
            self._file = None
            self._written = {}

    def write(self) -> None:
        """What was counted so far will outlive this process; blocks on the disk. A failure is said once, until it is over."""
        if self._folder is None:
            return
        numbers = self._taken()
        with self._writing:
            if self._file is not None and numbers == self._written:
                return
            try:
                if self._file is None:
                    self._file = MetricFile(self._folder, self._process_id)
                self._file.write(numbers)
            except OSError as error:
                self._say(str(error.strerror or error))
            else:
                self._written = numbers
                self._say(None)

    def exposition(self, looked_up: Mapping[Series, float]) -> bytes:
        """Everything about this node in Prometheus' text format; blocks on the disk, and never fails for it.

        Our own numbers are written first: what was shown once must not go back when this process is killed.
        """
        if self._writer is not None:
            self.write()
        total = MetricValues()
        if self._folder is not None:
            try:
                total = read_others(self._folder, self._process_id)
            except OSError as error:
                self._say(str(error.strerror or error))
        total.add(self._taken(), gauges=True)
        shown = total.numbers | {series: [number] for series, number in looked_up.items()}
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Shown(shown))
        return generate_latest(registry)

    def _keep_writing(self) -> None:
        while not self._stopping.wait(WRITE_EVERY_SECONDS):
            self.write()

    def _taken(self) -> dict[Series, list[float]]:
        watched: dict[Series, list[float]] = {(name, ()): [float(read())] for name, read in self._watched.items()}
        with self._counting:
            return {series: numbers.copy() for series, numbers in self._numbers.items()} | watched

    def _add(self, name: str, labels: tuple[str, ...] = (), *, by: float = 1.0) -> None:
        with self._counting:
            numbers = self._of((name, labels))
            numbers[0] += by

    def _set(self, name: str, to: float) -> None:
        with self._counting:
            self._of((name, ()))[0] = to

    def _observe(self, name: str, number: float, labels: tuple[str, ...] = ()) -> None:
        place = bisect_left(BY_NAME[name].buckets, number)
        with self._counting:
            numbers = self._of((name, labels))
            numbers[place] += 1.0
            numbers[-1] += number

    def _of(self, series: Series) -> list[float]:
        """The numbers to change, where they are kept; somebody holds the lock."""
        numbers = self._numbers.get(series)
        if numbers is None:
            numbers = [0.0] * BY_NAME[series[0]].width
            if len(self._numbers) < SERIES_MAX:
                self._numbers[series] = numbers
        return numbers

    def _say(self, failed: str | None) -> None:
        if failed != self._failed:
            self._failed = failed
            if failed is not None:
                log.warning("metrics are not shared with the node's other processes", why=failed)


class _Shown(Collector):
    """The numbers as the families that Prometheus' library writes down."""

    def __init__(self, numbers: Numbers) -> None:
        self._numbers = numbers

    def collect(self) -> Iterator[Metric]:
        for measure in MEASURES:
            found = {series[1]: values for series, values in self._numbers.items() if series[0] == measure.name}
            if not found and not measure.labels and measure.kind is not Kind.LOOKED_UP:
                found = {(): [0.0] * measure.width}  # an alert on a rate needs the zero before the first event
            yield _family(measure, found)


def _family(measure: Measure, found: Mapping[tuple[str, ...], list[float]]) -> Metric:
    name = PREFIX + measure.name
    if measure.kind is Kind.HISTOGRAM:
        histogram = HistogramMetricFamily(name, measure.meaning, labels=measure.labels)
        for labels, numbers in sorted(found.items()):
            histogram.add_metric(labels, buckets=_cumulated(measure, numbers), sum_value=numbers[-1])
        return histogram
    kind = CounterMetricFamily if measure.kind is Kind.COUNTER else GaugeMetricFamily
    family = kind(name, measure.meaning, labels=measure.labels)
    for labels, numbers in sorted(found.items()):
        family.add_metric(labels, numbers[0])
    return family


def _cumulated(measure: Measure, numbers: list[float]) -> list[tuple[str, float]]:
    buckets, total = [], 0.0
    for bound, number in zip((*measure.buckets, math.inf), numbers, strict=False):
        total += number
        buckets.append(("+Inf" if math.isinf(bound) else str(bound), total))
    return buckets
