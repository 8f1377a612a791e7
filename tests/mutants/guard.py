"""What a guard is: the line that keeps a promise, the code without it, and the tests that must then fail."""

from dataclasses import dataclass
from pathlib import Path


class GuardNotFound(Exception):
    """The text of a guard is not in its file, or stands there more than once: update the list."""


class MutantBroken(Exception):
    """The file without its guard is no Python any more: it would fail for the wrong reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """One mutant. `file` is named from the root of the project; `old` stands in it exactly once; `tests` are pytest's node
    ids below tests/, as few as tell. `also` has more of (file, old, new), where one guard stands in several places.
    `short` puts it into the short form.
    """

    name: str
    protects: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    also: tuple[tuple[str, str, str], ...] = ()
    short: bool = False

    def without(self, root: Path) -> dict[str, str]:
        """File → its text without the guard; raises `GuardNotFound` or `MutantBroken`."""
        texts: dict[str, str] = {}
        for file, old, new in ((self.file, self.old, self.new), *self.also):
            text = texts[file] if file in texts else _text_of(root / file)
            if (times := text.count(old)) != 1:
                raise GuardNotFound(f"its text stands {times} times in {file}")
            texts[file] = text.replace(old, new)
        for file, text in texts.items():
            try:
                compile(text, file, "exec")
            except SyntaxError as error:
                raise MutantBroken(f"{file} is no Python without it: {error}") from error
        return texts

    def remove(self, root: Path) -> None:
        """Take the guard out of the copy of the project in `root`; raises like `without`."""
        for file, text in self.without(root).items():
            path = root / file
            path.write_text(text, encoding="utf-8")
            for compiled in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):  # of the file as it was
                compiled.unlink()


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise GuardNotFound(f"no file {path.name}") from None
