"""Parse a spool file again, in the format that it names."""

from platevault.domain.batch import Limits
from platevault.domain.errors import Stopped
from platevault.formats import DEFAULT, FORMATS
from platevault.formats.batch import Batch
from platevault.infra.spool.file_format import Index
from platevault.ingest.image_bytes import with_decoded_again
from platevault.ingest.receive import delivery_of


def reparse(index: Index, *, limits: Limits) -> Batch:
    """The batch of a sealed file, as it was received.

    Raises: `BatchRefused` or `TooLarge` of the format, `Corrupted` if a decoded image is not in the file, `Stopped` if this
    version does not know the format.
    """
    name = index.envelope.format or DEFAULT.name
    if name not in FORMATS:
        raise Stopped(f"its format {name} is unknown to this version of the service")
    parts = index.parts if index.lead is None else (index.lead, *index.parts)
    delivery = delivery_of(index.envelope, parts, received_at=index.received_at, limits=limits)
    return with_decoded_again(FORMATS[name].parse(delivery), {part.name: part for part in index.decoded})
