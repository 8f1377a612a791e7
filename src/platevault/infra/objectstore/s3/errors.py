"""What an S3 answer that is not a success means: wait and try again, or somebody has to change a setting."""

import http.client
import re

from platevault.domain.errors import ObjectRefused, StoreBusy, StoreMisconfigured, StoreUnavailable

SKEWED = "RequestTimeTooSkewed"
NO_SUCH_BUCKET = "NoSuchBucket"
# Said of bytes that are not those of the digest in x-amz-content-sha256 or x-amz-checksum-sha256: AWS and MinIO, SeaweedFS.
OTHER_DIGEST = ("XAmzContentSHA256Mismatch", "BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch")

_HINTS = {
    "AccessDenied": "these credentials may not do this in this bucket",
    "AllAccessDisabled": "the account is disabled",
    "AuthorizationHeaderMalformed": "check MINIO_REGION",
    "ExpiredToken": "the credentials have expired",
    "InvalidAccessKeyId": "the access key is not known there",
    "InvalidBucketName": "check MINIO_BUCKET",
    "InvalidRegion": "check MINIO_REGION",
    "InvalidToken": "the credentials are not valid",
    NO_SUCH_BUCKET: "the bucket does not exist; `platevault bucket configure` creates it",
    "PermanentRedirect": "check MINIO_ENDPOINT and MINIO_REGION",
    SKEWED: "its clock and this machine's differ",
    "SignatureDoesNotMatch": "the secret key is wrong",
}

_BUSY_CODES = frozenset(
    {"SlowDown", "SlowDownRead", "SlowDownWrite", "ServiceUnavailable", "TooManyRequests", "RequestLimitExceeded"}
)
BUSY_STATUS = frozenset({http.HTTPStatus.TOO_MANY_REQUESTS, http.HTTPStatus.SERVICE_UNAVAILABLE})
# A store without room, and what stands before a store: about all objects, not about this one.
_ABOUT_ALL_CODES = frozenset({"XMinioStorageFull", "XMinioServerNotInitialized", "RequestTimeout"})
_ABOUT_ALL_STATUS = frozenset(
    {
        http.HTTPStatus.REQUEST_TIMEOUT,
        http.HTTPStatus.BAD_GATEWAY,
        http.HTTPStatus.GATEWAY_TIMEOUT,
        http.HTTPStatus.INSUFFICIENT_STORAGE,
    },
)

_STATUS = re.compile(r"status code: (?P<status>\d{3})")
_CODE = re.compile(r"<Code>(?P<code>[A-Za-z0-9.]{1,64})</Code>")
_ASK_FOR_A_SETTING = frozenset({301, 302, 307, 308, 401, 403})


def status_of(text: str) -> int | None:
    """The HTTP status that a client library wrote into its error; None when no answer came."""
    match = _STATUS.search(text)
    return int(match["status"]) if match else None


def code_of(text: str) -> str | None:
    """S3's error code in an error text or body; None when there is none."""
    match = _CODE.search(text)
    return match["code"] if match else None


def refused(doing: str, *, status: int | None, code: str | None, detail: str = "") -> StoreUnavailable:
    """The error for an answer of the store; its text names no key id, secret or URL.

    `StoreMisconfigured` for credentials, bucket, region and clock, and for a port that does not speak S3; `StoreBusy` where it
    asks for less (429, 503); `ObjectRefused` for an answer about this one request.
    """
    if code in _HINTS or status in _ASK_FOR_A_SETTING:
        said = code or f"status {status}"
        hint = _HINTS.get(code or "", "check MINIO_ENDPOINT and the credentials")
        return StoreMisconfigured(f"could not {doing}: the object store says {said}: {hint}{detail}")
    if code is None and status == http.HTTPStatus.BAD_REQUEST:
        return StoreMisconfigured(f"could not {doing}: no S3 answer: check MINIO_ENDPOINT and MINIO_SECURE")
    sentence = f"could not {doing}: the object store says {code or f'status {status}'}"
    if code in _BUSY_CODES or status in BUSY_STATUS:
        return StoreBusy(sentence)
    if status is None or code in _ABOUT_ALL_CODES or status in _ABOUT_ALL_STATUS:
        return StoreUnavailable(sentence)
    return ObjectRefused(sentence)


def unreachable(doing: str, error: BaseException) -> StoreUnavailable:
    """The error for no answer at all: refused, reset, too slow, or TLS on one side only."""
    text = f"{error!r} {error}"
    if isinstance(error, TimeoutError):
        return StoreUnavailable(f"could not {doing}: no answer from the object store in time")
    if "ertificate" in text:
        return StoreMisconfigured(f"could not {doing}: the object store's TLS certificate is not trusted here")
    if "BareRedirect" in text:
        return StoreMisconfigured(
            f"could not {doing}: the object store sends us elsewhere: check MINIO_ENDPOINT and MINIO_REGION"
        )
    if "InvalidContentType" in text or "WRONG_VERSION_NUMBER" in text:
        return StoreMisconfigured(f"could not {doing}: the object store speaks no TLS there: check MINIO_SECURE")
    return StoreUnavailable(f"could not {doing}: the object store did not answer")
