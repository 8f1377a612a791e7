"""Where the source reads the clock of its process: each place is listed with the reason why it destroys nothing."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.test_budgets import ROOT, SOURCES, parsed

CALLS: Final = frozenset(
    {"datetime.now", "datetime.utcnow", "datetime.today", "date.today", "time.time", "time.time_ns", "time.localtime"}
)
READS: Final = {
    "app/clock.py": "the one clock of a process; others get it as an argument",
    "cli/demo.py": "times of drawn detections",
    "cli/send.py": "a sender's own clock: `sent_at`, and photographs without a time",
    "collector/api_client.py": "a Retry-After that is a date",
    "embedded/supervision.py": "since when a server is down, for people",
    "infra/objectstore/local.py": "the folder's own time: `erasing_time` compares it with the database's",
    "infra/objectstore/memory.py": "a store for tests",
    "infra/objectstore/s3/sigv4.py": "signs requests to the store",
    "infra/objectstore/s3/told_time.py": "how far this machine is from the store, for `doctor`",
}
"""Modules that ask the system for the time."""

ASKS: Final = {
    "backup/create.py": "the name of a backup without the database; `--keep-days` goes by the vault's clock",
    "catalog/image_storage.py": "signs URLs",
    "collector/demo_feed.py": "times of drawn detections",
    "collector/send.py": "a sender's own clock",
    "ingest/accept.py": "time of receipt; a clock that is a minute off takes no batch",
    "ingest/uploads/commit.py": "time of receipt, after the same check",
    "ingest/uploads/create.py": "end of an upload, after the same check",
    "jobs/service_clock.py": "is itself compared with the database",
    "operations/check_backups.py": "age of a backup, for people",
    "operations/check_object_store.py": "signs the URLs that `doctor` tries",
    "operations/doctor.py": "is itself compared with the database",
    "operations/overview.py": "age of the page, and what it shows",
    "renditions/make_variants.py": "derived images, which are made again on demand",
    "operations/image_url_test.py": "signs a URL of a test image",
    "renditions/prerender.py": "derived images",
    "renditions/render.py": "derived images",
    "web/api/catalog/objects.py": "checks signed URLs",
    "web/api/export/exports.py": "time in a manifest",
    "web/api/ingest/uploads.py": "the state that is shown; jobs end an upload by the vault's clock",
    "web/dependencies.py": "signs URLs",
    "web/pages/detection.py": "days left, for people",
    "web/pages/detections.py": "a search of the last hours; suggestions of cameras",
}
"""Modules that call a clock they were given (`….now()`)."""


def _named(path: Path) -> str:
    return path.relative_to(ROOT / "src" / "platevault").as_posix()


def _calls(tree: ast.AST) -> Iterator[str]:
    """Functions that are called or passed on, as written: `datetime.now`, `context.now`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield ast.unparse(node)
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            yield from (f"time.{alias.name}" for alias in node.names)


def _given_clocks(tree: ast.AST) -> Iterator[str]:
    """Calls without a time zone of what is named `now`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and not node.args:
            called = ast.unparse(node.func).rpartition(".")
            if called[2] == "now" and called[0] != "datetime":
                yield ast.unparse(node)


def test_only_listed_modules_read_the_clock_of_the_process() -> None:
    found = {_named(path) for path in SOURCES if CALLS & set(_calls(parsed(path.read_text(encoding="utf-8"))))}
    assert found == set(READS), "a new one: take the vault's clock (`jobs.vault_clock`), or list it with its reason"


def test_only_listed_modules_ask_the_clock_they_were_given() -> None:
    found = {_named(path) for path in SOURCES if any(_given_clocks(parsed(path.read_text(encoding="utf-8"))))}
    assert found == set(ASKS), "a new one: take `context.time()` or `erasing_time()`, or list it with its reason"


def test_a_new_use_is_seen() -> None:
    for text in ("datetime.now(UTC)", "x = time.time", "from time import time", "date.today()"):
        assert CALLS & set(_calls(parsed(text))), text
    for text in ("context.now()", "now()", "self._manner.now()"):
        assert list(_given_clocks(parsed(text))), text
