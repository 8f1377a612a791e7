"""What an answer of the store means: everybody waits, somebody changes a setting, less at once, or this one object."""

import pytest

from platevault.domain.errors import ObjectRefused, StoreBusy, StoreMisconfigured, StoreUnavailable
from platevault.infra.objectstore.s3.errors import refused


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (503, "SlowDown", StoreBusy),
        (503, None, StoreBusy),
        (429, "TooManyRequests", StoreBusy),
        (200, "SlowDown", StoreBusy),
        (403, "AccessDenied", StoreMisconfigured),
        (403, "RequestTimeTooSkewed", StoreMisconfigured),
        (404, "NoSuchBucket", StoreMisconfigured),
        (400, None, StoreMisconfigured),
        (507, "XMinioStorageFull", StoreUnavailable),
        (502, None, StoreUnavailable),
        (504, None, StoreUnavailable),
        (400, "RequestTimeout", StoreUnavailable),
        (500, "InternalError", ObjectRefused),
        (400, "EntityTooLarge", ObjectRefused),
        (409, "ConditionalRequestConflict", ObjectRefused),
    ],
)
def test_each_answer_has_one_meaning(status: int, code: str | None, kind: type[StoreUnavailable]) -> None:
    error = refused("put full/2025/01/15/a_full.jpg", status=status, code=code)
    assert type(error) is kind
    assert "full/2025/01/15/a_full.jpg" in str(error)
