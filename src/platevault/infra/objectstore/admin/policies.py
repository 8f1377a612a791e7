"""The identities of an object store and the least that each needs, as IAM policies (AWS policy language, 2012-10-17)."""

from typing import Any, Final

from platevault.domain.object_prefixes import PREFIXES, TEMP_UPLOADS

SERVICE: Final = "service"
PRESIGN: Final = "presign"
UPLOAD: Final = "upload"

# What a presigned URL may never lead to: what reconcile set aside, uploads that nobody committed, and our own marks.
_NOT_FOR_VIEWERS: Final = tuple(sorted(f"{prefix.name}*" for prefix in PREFIXES if not prefix.viewable))


def policies_for(bucket: str) -> dict[str, dict[str, Any]]:
    """Identity → policy. `service`: objects of this bucket, and reading how it is set up; `presign`: GetObject on images;
    `upload`: PutObject under `temp/`. None of them may change a bucket's lifecycle, policy or CORS.
    """
    whole, objects = f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"
    hidden = [f"arn:aws:s3:::{bucket}/{prefix}" for prefix in _NOT_FOR_VIEWERS]
    return {
        SERVICE: _policy(
            _statement(
                "Allow",
                [whole],
                "ListBucket",
                "GetBucketLocation",
                "ListBucketMultipartUploads",
                "GetLifecycleConfiguration",
                "GetBucketVersioning",
            ),
            _statement(
                "Allow",
                [objects],
                "GetObject",
                "PutObject",
                "DeleteObject",
                "AbortMultipartUpload",
                "ListMultipartUploadParts",
            ),
            _statement("Allow", [objects], "GetObjectTagging", "PutObjectTagging", "DeleteObjectTagging"),
        ),
        PRESIGN: _policy(_statement("Allow", [objects], "GetObject"), _statement("Deny", hidden, "GetObject")),
        UPLOAD: _policy(_statement("Allow", [f"arn:aws:s3:::{bucket}/{TEMP_UPLOADS.name}*"], "PutObject")),
    }


def _policy(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def _statement(effect: str, resources: list[str], *actions: str) -> dict[str, Any]:
    return {"Effect": effect, "Action": [f"s3:{action}" for action in actions], "Resource": resources}
