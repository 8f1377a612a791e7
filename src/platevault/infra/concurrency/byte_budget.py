"""A number of bytes that may be held at once."""


class ByteBudget:
    """Take before holding, give back after; never more than `most` are out."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken = 0

    @property
    def taken(self) -> int:
        return self._taken

    def take(self, size: int) -> bool:
        """True when the bytes are yours now."""
        if self._taken + size > self._most:
            return False
        self._taken += size
        return True

    def give_back(self, size: int) -> None:
        self._taken -= size
