"""What can go wrong, as a tree: whose fault it is decides the branch.

VaultError
├── Refusal                 the caller's to change: trying the same again gives the same answer
│   ├── InvalidRequest      ── BatchRefused (names the part)
│   ├── TooLarge
│   ├── EncodingUnknown     the body is in an encoding that is not spoken; the message names the header
│   ├── IdentifierReused    the same batch id with other content ── CommittedOtherwise
│   ├── NotSignedIn, Forbidden ── PurposeMissing
│   ├── OnHold              a legal hold keeps it
│   ├── HoldIdReused        the same hold id for something else ── HoldLifted (for the same, after its lift)
│   ├── AllGone             nothing is left of what a hold names
│   ├── DeletionExpired     it was not confirmed in time
│   ├── DirectUploadOff     there is no identity to sign uploads with
│   ├── UploadEnded         it was committed, aborted or has expired
│   ├── ImageRefused        its bytes are no picture that can be decoded whole, or not within the limits
│   └── Missing             nothing of that name
├── Unavailable             nobody's fault but time's: try again after `retry_after`
│   ├── Busy, SpoolFull, DatabaseUnavailable
│   ├── StoreUnavailable    ── StoreMisconfigured, StoreBusy, ObjectRefused (this one object)
│   ├── HeldElsewhere       the bytes wait on another node
│   ├── ClockWrong          the clock of this process differs from the database's
│   ├── HoldsBeingPlaced    nothing is erased while a hold takes up its detections
│   └── ErasuresPending     erasures of an older database are not done again yet
├── Stopped                 a job ends before its end, for a reason that its operator should read
├── SettingsInvalid         the operator's: names the variable and the fix
└── Corrupted               bytes are not what their digest says
"""


class VaultError(Exception):
    """Something that Platevault has a name for."""


class Refusal(VaultError):
    """The request cannot be honoured; the same request again gets the same answer."""


class InvalidRequest(Refusal):
    """The request does not say what it must say."""


class BatchRefused(InvalidRequest):
    """A batch broke its framing, manifest or limits; `part` names where."""

    def __init__(
        self, reason: str, *, part: str | None = None, refused: tuple[tuple[str, tuple[str, ...]], ...] = ()
    ) -> None:
        super().__init__(reason)
        self.part = part
        self.refused = refused


class TooLarge(Refusal):
    """Past a limit that `GET /v1/limits` tells; `part` names where."""

    def __init__(self, reason: str, *, part: str | None = None) -> None:
        super().__init__(reason)
        self.part = part


class EncodingUnknown(Refusal):
    """The body, or one part of it, is in an encoding that is not spoken; `part` names the part."""

    def __init__(self, reason: str, *, part: str | None = None) -> None:
        super().__init__(reason)
        self.part = part


class IdentifierReused(Refusal):
    """The batch id was used before for other content."""

    def __init__(self, reason: str, *, first_digest: str, this_digest: str) -> None:
        super().__init__(reason)
        self.first_digest = first_digest
        self.this_digest = this_digest


class OnHold(Refusal):
    """Legal holds keep it; `hold_ids` names them."""

    def __init__(self, reason: str, *, hold_ids: tuple[str, ...] = ()) -> None:
        super().__init__(reason)
        self.hold_ids = hold_ids


class HoldIdReused(Refusal):
    """The hold id was used before for something else."""


class HoldLifted(HoldIdReused):
    """The hold of that id was lifted: it does not come back."""


class AllGone(Refusal):
    """Everything that a hold names had expired or was deleted before it was placed."""


class DeletionExpired(Refusal):
    """The deletion was not confirmed while it could be."""


class CommittedOtherwise(IdentifierReused):
    """The upload was committed with other content."""


class DirectUploadOff(Refusal):
    """Nobody may send bytes past this service; the message names the settings."""


class UploadEnded(Refusal):
    """The direct upload was committed, aborted or has expired."""


class ImageRefused(Refusal):
    """The bytes are no picture that can be decoded whole, or not within the limits; the message says which."""


class NotSignedIn(Refusal):
    """No credential, or one that is not ours."""


class Forbidden(Refusal):
    """A credential that does not reach this far."""


class PurposeMissing(Forbidden):
    """Reading needs a purpose here."""


class Missing(Refusal):
    """There is nothing of that name."""


class Unavailable(VaultError):
    """Not now; the same request after `retry_after` seconds may succeed."""

    def __init__(self, reason: str, *, retry_after: int = 5) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class Busy(Unavailable):
    """As much is in hand as this process may hold."""


class SpoolFull(Unavailable):
    """The local spool cannot take these bytes durably."""


class DatabaseUnavailable(Unavailable):
    """PostgreSQL did not answer, or not in time."""


class StoreUnavailable(Unavailable):
    """The object store did not answer, or not in time."""


class StoreMisconfigured(StoreUnavailable):
    """The object store answers, and will refuse until somebody changes a setting: credentials, bucket or clock."""


class StoreBusy(StoreUnavailable):
    """The object store asks for less at once."""


class ObjectRefused(StoreUnavailable):
    """The object store answers and refuses this one request; it may well take others."""


class HeldElsewhere(Unavailable):
    """The bytes wait in the spool of another node."""


class ClockWrong(Unavailable):
    """The clock of this process differs from the database's: it accepts nothing that it would have to date."""


class HoldsBeingPlaced(Unavailable):
    """Nothing is erased while legal holds take up their detections; `hold_ids` names some of them."""

    def __init__(self, reason: str, *, hold_ids: tuple[str, ...] = (), retry_after: int = 5) -> None:
        super().__init__(reason, retry_after=retry_after)
        self.hold_ids = hold_ids


class ErasuresPending(Unavailable):
    """Detections are not shown before the erasures that this database does not know were done again."""


class Stopped(VaultError):
    """A job ends before its end, for a reason that its operator should read."""


class SettingsInvalid(VaultError):
    """A setting is missing or wrong; the message names the variable and the fix."""


class Corrupted(VaultError):
    """Bytes are not what their digest says."""
