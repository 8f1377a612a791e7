"""What a guard is: the line that keeps a promise, the code without it, and the tests that must then fail."""

import re
from dataclasses import dataclass
from pathlib import Path


class GuardNotFound(Exception):
    """The text of a guard is not in its module, or more than once: update the list."""


class MutantBroken(Exception):
    """The module without its guard is no Python any more: it would fail for the wrong reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """One mutant.

    `module` is a dotted name (`platevault.delivery.put`), or a migration's (`0001_first`). `old` is in it exactly once, where
    white space and a trailing comma do not count: a formatter may break the lines elsewhere. `tests` are pytest's node ids
    below tests/, as few as are needed. `also` has more of (module, old, new) where one guard has several places. `short` puts
    it into the short form.
    """

    name: str
    protects: str
    module: str
    old: str
    new: str
    tests: tuple[str, ...]
    also: tuple[tuple[str, str, str], ...] = ()
    short: bool = False

    def without(self, root: Path) -> dict[Path, str]:
        """Path below `root` → its text without the guard; raises `GuardNotFound` or `MutantBroken`."""
        texts: dict[Path, str] = {}
        for module, old, new in ((self.module, self.old, self.new), *self.also):
            path = _path_of(module)
            text = texts[path] if path in texts else _text_of(root / path)
            texts[path] = _replaced(text, old, new, where=module)
        for path, text in texts.items():
            try:
                compile(text, str(path), "exec")
            except SyntaxError as error:
                raise MutantBroken(f"{path} is no Python without it: {error}") from error
        return texts

    def remove(self, root: Path) -> None:
        """Take the guard out of the copy of the project in `root`; raises like `without`."""
        for file, text in self.without(root).items():
            path = root / file
            path.write_text(text, encoding="utf-8")
            for compiled in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):  # of the file as it was
                compiled.unlink()


def _path_of(module: str) -> Path:
    if "." not in module and module[:1].isdigit():
        return Path("alembic", "versions", f"{module}.py")
    return Path("src", *module.split(".")).with_suffix(".py") if "." in module else Path(f"{module}.py")


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise GuardNotFound(f"no file {path.name}") from None


def _replaced(text: str, old: str, new: str, *, where: str) -> str:
    """The text with `new` for the one place that reads like `old`; white space at their ends is theirs where they share it."""
    before, after = old[: len(old) - len(old.lstrip())], old[len(old.rstrip()) :]
    pattern = _pattern(old.strip())
    if before and new.startswith(before):
        new = new.removeprefix(before)
    elif before:
        pattern = r"[ \t]*" + pattern
    if after and new.endswith(after):
        new = new.removesuffix(after)
    elif after:
        pattern += r"[ \t]*\n?" if "\n" in after else r"[ \t]*"
    places = list(re.finditer(pattern, text))
    if len(places) != 1:
        raise GuardNotFound(f"its text is in {where} {len(places)} times")
    return text[: places[0].start()] + new + text[places[0].end() :]


def _pattern(text: str) -> str:
    """A regular expression for the same code in other lines."""
    parts: list[str] = []
    for one in re.finditer(r"(\s*)(\w+|\W)", text):
        space, word = one.groups()
        if parts:
            joined = bool(space) and word[0].isalnum() and bool(re.match(r"\w", parts[-1][-1]))
            parts.append(r"\s+" if joined else r"\s*")
        if word in ")]}":
            parts.append(r",?\s*")
        parts.append(re.escape(word))
    return "".join(parts)
