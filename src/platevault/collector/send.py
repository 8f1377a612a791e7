"""Send a folder of photographs, or those that a manifest names, to a vault; once, whatever happens in between."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Final, TypeGuard

from platevault.collector import manifests
from platevault.collector.api_client import VaultApi
from platevault.collector.batch import (
    Answer,
    EncodedBatch,
    OutgoingDetection,
    Photo,
    SendTotals,
    detection_id_of,
    encode_batch,
    outgoing_detection,
)
from platevault.collector.journal import SET_ASIDE, SendJournal, default_journal
from platevault.collector.photo_files import folders_inside, open_inside, photo_names, read_photo
from platevault.collector.time_zone import AssumedZone
from platevault.domain.errors import (
    BatchRefused,
    Forbidden,
    IdentifierReused,
    InvalidRequest,
    NotSignedIn,
    TooLarge,
    Unavailable,
    VaultError,
)

MANIFESTS: Final = ("manifest.csv", "manifest.jsonl", "manifest.ndjson")
PARCEL_BYTES_MAX: Final = 32 * 1024 * 1024  # half of what a vault takes unless told otherwise
BACKOFF_SECONDS: Final = 0.5
BACKOFF_SECONDS_MAX: Final = 30.0
RETRY_AFTER_SECONDS_MAX: Final = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Which vault, and as whom. `camera_id` is for images of which nothing else is said."""

    url: str
    token: str | None
    collector_id: str
    camera_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SendOptions:
    """How to send. `give_up_after`: seconds without any success; `clock`: seconds; `jitter`: a factor of 1 or more."""

    batch_size: int
    parallel: int
    give_up_after: float
    again: bool
    now: Callable[[], datetime]
    clock: Callable[[], float]
    jitter: Callable[[], float]
    zone: AssumedZone = field(default_factory=AssumedZone)


@dataclass(frozen=True, slots=True, kw_only=True)
class SendProgress:
    """Whoever looks on: how many there are, how many more are done, and why it waits for how many seconds."""

    begun: Callable[[int], None]
    moved: Callable[[int], None]
    waiting: Callable[[str, float], None]


async def send(  # the tally is the caller's, so that there is one after Ctrl-C too
    source: Path, *, to: Destination, manner: SendOptions, journal: Path, watch: SendProgress, tally: SendTotals
) -> None:
    """Fill the tally. What the vault acknowledged is in the journal, synced batch by batch, and is skipped next time.

    Raises `InvalidRequest` when there is nothing to send, and `SettingsInvalid` for a wrong URL or journal.
    """
    begun = manner.clock()
    vault = VaultApi(to.url, token=to.token)
    try:
        folder, photos = await asyncio.to_thread(_find, source, tally)
        tally.found += len(photos)
        watch.begun(len(photos))
        kept = SendJournal.open(journal, url=vault.url, collector_id=to.collector_id)
        try:
            sending = _Sending(folder=folder, vault=vault, journal=kept, to=to, manner=manner, watch=watch, tally=tally)
            await sending.all_of(photos)
        finally:
            kept.close()
    finally:
        tally.seconds = manner.clock() - begun
        await vault.close()


def journal_for(source: Path, *, state_folder: Path) -> Path:
    """Where the journal of this source is kept unless told otherwise."""
    return default_journal(source, state_folder=state_folder)


@dataclass(frozen=True, slots=True)
class _Left:
    """A photograph that is not sent, and under what it counts."""

    outcome: str
    file: str
    problem: str | None = None
    detection_id: str | None = None


class _Sending:
    """One run: several workers take groups of photographs from one list until it is empty or something stops them."""

    def __init__(
        self,
        *,
        folder: Path,
        vault: VaultApi,
        journal: SendJournal,
        to: Destination,
        manner: SendOptions,
        watch: SendProgress,
        tally: SendTotals,
    ) -> None:
        self._folder = folder
        self._vault = vault
        self._journal = journal
        self._to = to
        self._manner = manner
        self._watch = watch
        self._tally = tally
        self._seen: set[str] = set()
        self._stopped = asyncio.Event()
        self._succeeded_at = manner.clock()

    async def all_of(self, photos: Sequence[Photo]) -> None:
        # Groups are cut before it is known what is acknowledged: an interrupted run makes the same batches again.
        size = self._manner.batch_size
        groups = iter([photos[start : start + size] for start in range(0, len(photos), size)])
        async with asyncio.TaskGroup() as workers:
            for _ in range(self._manner.parallel):
                workers.create_task(self._work(groups))

    async def _work(self, groups: Iterator[Sequence[Photo]]) -> None:
        for group in groups:
            if self._stopped.is_set():
                return
            read = await asyncio.to_thread(self._prepare, group)
            for few in _by_size([one for one in read if self._is_to_be_sent(one)]):
                await self._deliver(few)
            self._watch.moved(len(group))

    def _prepare(self, group: Sequence[Photo]) -> list[OutgoingDetection | _Left]:
        """In a thread, which counts nothing: read the files and cut the plates out of them."""
        return [self._read(photo) for photo in group]

    def _read(self, photo: Photo) -> OutgoingDetection | _Left:
        names = {"collector_id": self._to.collector_id, "camera_id": self._to.camera_id}
        try:
            data, written_at = read_photo(self._folder, photo.file)
            known = detection_id_of(photo, data, **names)
            if data and not self._manner.again and self._journal.has(known):
                return _Left("skipped", photo.file, detection_id=known)
            now, zone = self._manner.now(), self._manner.zone
            return outgoing_detection(photo, data, **names, written_at=written_at, now=now, zone=zone)
        except (InvalidRequest, OSError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            return _Left("unusable", photo.file, problem=f"{_named(photo)}: {why}")

    def _is_to_be_sent(self, one: OutgoingDetection | _Left) -> TypeGuard[OutgoingDetection]:
        if one.detection_id in self._seen:
            self._tally.outcomes["repeated"] += 1
            self._tally.notes.append(f"{one.file}: the same image as another one of this run, sent once")
            return False
        if isinstance(one, _Left):
            self._tally.outcomes[one.outcome] += 1
            self._tally.problems += [] if one.problem is None else [one.problem]
            return False
        if one.note is not None:
            self._tally.notes.append(f"{one.file}: {one.note}")
        self._seen.add(one.detection_id)
        self._tally.zones_assumed += one.zone_assumed
        return True

    async def _deliver(self, few: Sequence[OutgoingDetection]) -> None:
        batch = await asyncio.to_thread(
            encode_batch, few, collector_id=self._to.collector_id, sent_at=self._manner.now()
        )
        try:
            answer = await self._insist(batch)
            if answer is not None:
                self._journal.acknowledge(batch.batch_id, self._tally.settle(batch.detections, answer))
        except TooLarge as error:
            if len(few) > 1:  # one of them may be what is too large
                middle = len(few) // 2
                await self._deliver(few[:middle])
                await self._deliver(few[middle:])
            else:
                self._set_aside(batch, error)
        except (BatchRefused, IdentifierReused) as error:
            self._set_aside(batch, error)
        except (VaultError, OSError) as error:
            self._stop(error)

    async def _insist(self, batch: EncodedBatch) -> Answer | None:
        """The answer, however often it takes; None when another worker found that there is no use.

        The only place that tries again. Not stamina: the vault says how long to wait, and what ends the patience is that
        no worker had any success.
        """
        tries = 0
        while not self._stopped.is_set():
            try:
                answer = await self._vault.send_batch(batch.body, batch.boundary)
            except Unavailable as error:
                left = self._succeeded_at + self._manner.give_up_after - self._manner.clock()
                if left <= 0:
                    raise
                backoff = min(BACKOFF_SECONDS_MAX, BACKOFF_SECONDS * 2 ** min(tries, 10))
                told = min(error.retry_after, RETRY_AFTER_SECONDS_MAX)
                await self._rest(str(error), min(left, max(backoff, told) * self._manner.jitter()))
                tries += 1
            else:
                self._succeeded_at = self._manner.clock()
                # After a try whose answer was lost, a replay is the answer to that one.
                return replace(answer, replayed=answer.replayed and tries == 0)
        return None

    async def _rest(self, why: str, seconds: float) -> None:
        self._watch.waiting(why, seconds)
        try:
            await asyncio.wait_for(self._stopped.wait(), seconds)
        except TimeoutError:
            return

    def _set_aside(self, batch: EncodedBatch, error: VaultError) -> None:
        self._succeeded_at = self._manner.clock()  # the vault is there, and answers
        problem = {name: value for name, value in vars(error).items() if value} | {
            "error": type(error).__name__,
            "detail": str(error),
        }
        listed = [{"file": one.file, "detection_id": one.detection_id} for one in batch.detections]
        try:
            file = self._journal.set_aside(batch.batch_id, {"problem": problem, "detections": listed})
        except OSError as failed:
            self._stop(failed)
            return
        self._tally.outcomes["set_aside"] += len(batch.detections)
        self._tally.set_aside.append(str(file))
        names = ", ".join(one.file for one in batch.detections)
        self._tally.problems.append(f"the vault refuses the batch of {names}: {error} (set aside: {file})")

    def _stop(self, error: VaultError | OSError) -> None:
        if self._stopped.is_set():
            return
        self._stopped.set()
        match error:
            case NotSignedIn():
                why = f"the vault does not know this token ({error}): give the collector's with --token or COLLECTOR_TOKEN"
            case Forbidden():
                why = f"this token may not send ({error}): give the collector's with --token or COLLECTOR_TOKEN"
            case Unavailable():
                why = f"gave up after {self._manner.give_up_after:.0f} seconds without success: {error}"
            case OSError():
                why = f"cannot write the journal {self._journal.path}: {error.strerror}"
            case _:
                why = str(error)
        self._tally.stopped = why


def _find(source: Path, tally: SendTotals) -> tuple[Path, tuple[Photo, ...]]:
    """The folder, and what is to be sent from it; bad rows of a manifest are problems of the tally."""
    try:
        if source.is_dir():
            there = [source / name for name in MANIFESTS if (source / name).is_file()]
            if len(there) > 1:
                raise InvalidRequest(f"{source} has {' and '.join(path.name for path in there)}: name the one to use")
            return (source, _images_of(source, tally)) if not there else (source, _rows_of(there[0], tally))
        return source.parent, _rows_of(source, tally)
    except OSError as error:
        raise InvalidRequest(f"cannot read {error.filename or source}: {error.strerror}") from error


def _images_of(folder: Path, tally: SendTotals) -> tuple[Photo, ...]:
    names = photo_names(folder)
    if not names:
        raise InvalidRequest(f"no image lies in {folder} itself (folders inside it are not searched)")
    tally.notes += [
        f"{name}: a folder, which is not searched: send it by its own path"
        for name in folders_inside(folder)
        if name != SET_ASIDE
    ]
    return tuple(Photo(file=name) for name in names)


def _rows_of(manifest: Path, tally: SendTotals) -> tuple[Photo, ...]:
    with open_inside(manifest.parent, manifest.name) as file:
        read = manifests.parse(manifest.name, file.read())
    tally.found += len(read.flaws)
    tally.outcomes += Counter(unusable=len(read.flaws))
    tally.problems += [f"{manifest.name} line {flaw.line}: {flaw.reason}" for flaw in read.flaws]
    return read.photos


def _named(photo: Photo) -> str:
    return photo.file if photo.line is None else f"line {photo.line} ({photo.file})"


def _by_size(ready: Sequence[OutgoingDetection]) -> Iterator[Sequence[OutgoingDetection]]:
    few: list[OutgoingDetection] = []
    size = 0
    for one in ready:
        if few and size + one.image_bytes > PARCEL_BYTES_MAX:
            yield few
            few, size = [], 0
        few.append(one)
        size += one.image_bytes
    if few:
        yield few
