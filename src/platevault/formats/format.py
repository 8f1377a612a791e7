"""Interface of a format: parser and size limits."""

from collections.abc import Callable
from dataclasses import dataclass

from platevault.domain.batch import Limits
from platevault.formats.batch import Batch
from platevault.formats.delivery import Delivery


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One format: its parser, and what may be refused before the body is whole.

    `parse` is pure. It raises `BatchRefused` or `TooLarge`, naming the part.
    `lead` names the part that describes the others: `parse` reads that part alone, and it stays in memory. Without a lead,
    `parse` may read every part; then the parts are mapped from the spool file.
    `multipart_only` refuses any other body before it is read. Otherwise a body that is not multipart is one part.
    """

    name: str
    parse: Callable[[Delivery], Batch]
    lead: str | None = None
    lead_bytes_max: int = 0
    multipart_only: bool = False

    def part_bytes_max(self, name: str, *, limits: Limits) -> int:
        """Size limit of the part with this name, checked while it arrives."""
        if self.lead is None:
            return limits.max_batch_bytes
        return self.lead_bytes_max if name == self.lead else limits.max_image_bytes
