"""Generate a Python and a TypeScript client from the OpenAPI document, and refuse what a generator cannot use.

Run by `make clients`. The generators are installed into a temporary folder, with the versions that are pinned here.
"""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from tests.support.contract import the_document

PYTHON_GENERATOR: Final = "openapi-python-client==0.29.1"
TYPESCRIPT_GENERATOR: Final = ("openapi-typescript@7.13.0", "typescript@5.9.3")
SECONDS_MAX: Final = 80
# Operations with binary answers, one entry for each status: the Python generator cannot return these bytes itself.
BINARY: Final = (
    "GET /v1/detections/{detection_id}/images/{kind}",
    "GET /v1/detections/{detection_id}/images/{kind}",
    "GET /v1/detections/{detection_id}/images/{kind}/derived",
    "GET /v1/objects/{key}",
    "GET /v1/objects/{key}",
    "GET /v1/export",
    "POST /v1/export",
)
# Only `data` is free JSON; its model has no fields of its own.
FREE_JSON: Final = frozenset({"detection_request_data_type_0.py", "detection_response_data_type_0.py"})
WARNING: Final = re.compile(r"^WARNING parsing (\S+ \S+) within", re.MULTILINE)
CAUSE: Final = re.compile(r"^Cannot parse response .*Unsupported content_type", re.MULTILINE)
# A use of the generated types: it compiles only if paths, bodies and answers have the types that are described.
USE: Final = """import type { operations } from "./client";
export const answer: operations["list_detections"]["responses"]["200"]["content"]["application/json"] = {
  items: [], next_cursor: null,
};
export const plate: string | null | undefined = answer.items[0]?.plate;
type Batch = operations["create_batch"]["requestBody"]["content"]["multipart/form-data"]["batch"];
export const batch: Batch = {
  batch_id: "b-1", collector_id: "gate-1",
  detections: [{ detection_id: "evt_1", captured_at: "2025-01-15T10:30:00Z", camera_id: "lane-1", plate: "QX417ZB" }],
};
// @ts-expect-error  a batch without detections is refused
export const empty: Batch = { batch_id: "b-1", collector_id: "gate-1" };
"""


class GeneratorFault(Exception):
    """A generated client that omits or blurs a part of the API."""


def main() -> int:
    """Generate both clients. Returns 1 and prints the reason if one has a fault."""
    document = the_document()
    with tempfile.TemporaryDirectory(prefix="platevault-clients-") as name:
        folder = Path(name)
        (folder / "openapi.json").write_text(json.dumps(document), encoding="utf-8")
        try:
            print(python_client(folder, document))
            print(typescript_client(folder))
        except GeneratorFault as fault:
            print(f"FAILED: {fault}", file=sys.stderr)
            return 1
    return 0


def python_client(folder: Path, document: dict[str, Any]) -> str:
    """Generate the Python client and compare it with the document."""
    output = folder / "python"
    printed = _run(
        [
            *_uv(),
            "tool",
            "run",
            "--from",
            PYTHON_GENERATOR,
            "openapi-python-client",
            "generate",
            "--meta=none",
            f"--path={folder / 'openapi.json'}",
            f"--output-path={output}",
        ],
        folder=folder,
    )
    check_warnings(printed)
    check_operations(output, document)
    fields = check_fields(output / "models")
    return f"Python client: {len(operation_ids(document))} operations, {fields} model fields, {len(BINARY)} warnings"


def typescript_client(folder: Path) -> str:
    """Generate the TypeScript client and compile it under `strict`."""
    if shutil.which("npm") is None:
        return "NO NPM HERE: the TypeScript client is NOT generated"
    _run(["npm", "install", "--silent", "--no-audit", "--no-fund", *TYPESCRIPT_GENERATOR], folder=folder)
    programs = folder / "node_modules" / ".bin"
    _run([str(programs / "openapi-typescript"), "openapi.json", "--output", "client.ts"], folder=folder)
    (folder / "use.ts").write_text(USE, encoding="utf-8")
    _run([str(programs / "tsc"), "--strict", "--noEmit", "client.ts", "use.ts"], folder=folder)
    return "TypeScript client: compiled under strict"


def check_warnings(printed: str) -> None:
    """Raise `GeneratorFault` unless the warnings are those of the binary answers."""
    found, causes = WARNING.findall(printed), CAUSE.findall(printed)
    if sorted(found) != sorted(BINARY) or len(causes) != len(found) or "ERROR" in printed:
        raise GeneratorFault(f"warnings are {found}, expected {list(BINARY)}:\n{printed}")


def check_operations(output: Path, document: dict[str, Any]) -> None:
    """Raise `GeneratorFault` unless each operation is a function of the client."""
    made = {path.stem for path in (output / "api").rglob("*.py")} - {"__init__"}
    if made != operation_ids(document):
        raise GeneratorFault(f"operations that differ: {sorted(made ^ operation_ids(document))}")


def check_fields(models: Path) -> int:
    """Count the fields of the models. Raises `GeneratorFault` for a field without a type."""
    fields = [(path, field) for path in models.glob("*.py") for field in _fields(path)]
    untyped = [
        f"{path.name}: {ast.unparse(field)}"
        for path, field in fields
        if path.name not in FREE_JSON and re.search(r"\bAny\b", ast.unparse(field.annotation))
    ]
    if untyped or not fields:
        raise GeneratorFault(f"fields without a type: {untyped}")
    return len(fields)


def operation_ids(document: dict[str, Any]) -> set[str]:
    return {one["operationId"] for operations in document["paths"].values() for one in operations.values()}


def _fields(path: Path) -> Iterable[ast.AnnAssign]:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            yield from (line for line in node.body if isinstance(line, ast.AnnAssign))


def _uv() -> Sequence[str]:
    """`uv run` names its own program in UV."""
    program = os.environ.get("UV") or shutil.which("uv")
    if program is None:
        raise GeneratorFault("uv is missing: use `make clients`")
    return [program]


def _run(command: Sequence[str], *, folder: Path) -> str:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=SECONDS_MAX, check=False)
    except subprocess.TimeoutExpired as error:
        raise GeneratorFault(f"{command[0]} took more than {SECONDS_MAX} seconds") from error
    if done.returncode:
        raise GeneratorFault(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


if __name__ == "__main__":
    sys.exit(main())
