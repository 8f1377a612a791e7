"""A copy of the source to which a developer added one reported field: the edits that it takes, and in which files."""

import ast
import shutil
from collections.abc import Callable
from pathlib import Path

CHECKOUT = Path(__file__).parents[3]
FIELD = "lane_marking"
LABEL = "Lane marking"
_DECLARED = f"""    {FIELD}: Annotated[
        str | None, Reported(sql_type=SqlType.TEXT, searched=Searched.EXACT, label="{LABEL}")
    ]
"""
_MIGRATION = f"""
from alembic import op
from sqlalchemy import text

revision = "added"
down_revision = "{{head}}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE detections ADD COLUMN {FIELD} text")
    ask = op.get_bind().execute
    check = ask(text("SELECT pg_get_constraintdef(oid) FROM pg_constraint"
                     " WHERE conname = 'detections_tombstones_are_empty'")).scalar_one()
    op.execute("ALTER TABLE detections DROP CONSTRAINT detections_tombstones_are_empty")
    op.execute("ALTER TABLE detections ADD CONSTRAINT detections_tombstones_are_empty "
               + check.replace(", data)", ", data, {FIELD})"))
    guard = ask(text("SELECT pg_get_functiondef('platevault_detection_is_write_once'::regproc)")).scalar_one()
    for row in ("NEW", "OLD"):
        guard = guard.replace(f"{{row}}.data)", f"{{row}}.data, {{row}}.{FIELD})")
        guard = guard.replace(f"{{row}}.data) = 0", f"{{row}}.data, {{row}}.{FIELD}) = 0")
    op.get_bind().exec_driver_sql(guard)
"""


def checkout_with_the_field(folder: Path) -> list[str]:
    """Copy src and alembic into the folder and add the field; return the names of the files that were edited."""
    for name in ("src", "alembic"):
        shutil.copytree(CHECKOUT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    source = folder / "src" / "platevault"
    edited = [
        _edit(source / "domain" / "reported_fields.py", lambda text: _after(text, "data", _DECLARED)),
        _edit(source / "domain" / "detection.py", lambda text: _again(text, of="heading_degrees", name="direction")),
        _migration(folder / "alembic" / "versions"),
        *(
            _edit(
                path,
                lambda text: _again(
                    _again(text, of="heading_degrees", name="direction"), "min_confidence", "camera_id"
                ),
            )
            for path in sorted((source / "web" / "schemas").rglob("*.py"))
        ),
    ]
    return [str(path.relative_to(folder)) for path in edited if path is not None]


def _edit(path: Path, change: Callable[[str], str]) -> Path | None:
    before = path.read_text(encoding="utf-8")
    after = change(before)
    path.write_text(after, encoding="utf-8")
    return path if after != before else None


def _migration(versions: Path) -> Path:
    head = max(path.name.partition("_")[0] for path in versions.glob("[0-9]*.py"))
    path = versions / "added.py"
    path.write_text(_MIGRATION.replace("{head}", head).replace("{{", "{").replace("}}", "}"), encoding="utf-8")
    return path


def _after(text: str, name: str, lines: str) -> str:
    """The text with these lines behind the declaration of `name`, the last field of its class."""
    (last,) = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.AnnAssign) and _declares(node, name))
    return _inserted(text, last.end_lineno, lines)


def _again(text: str, of: str, name: str) -> str:
    """The text with the declaration of `name` repeated for the new field, in each class that declares `of` as well."""
    for one in ast.walk(ast.parse(text)):
        if isinstance(one, ast.ClassDef) and any(_declares(node, of) for node in one.body):
            (model,) = (node for node in one.body if _declares(node, name))
            lines = "\n".join(text.splitlines()[model.lineno - 1 : model.end_lineno]).replace(name, FIELD, 1)
            return _inserted(text, model.end_lineno, lines + "\n")
    return text


def _declares(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == name


def _inserted(text: str, line: int | None, lines: str) -> str:
    rows = text.splitlines(keepends=True)
    return "".join([*rows[:line], lines, *rows[line:]])
