"""A fuzzer's bytes, taken from the front: the same bytes make the same input, with and without the fuzzer."""

from __future__ import annotations


class Source:
    """Never runs dry: behind the end lie zeros."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def is_empty(self) -> bool:
        """Whether only zeros are left."""
        return self._at >= len(self._data)

    def byte(self) -> int:
        """0 to 255."""
        return self.number(1)

    def number(self, size: int) -> int:
        """An unsigned integer of so many bytes, little-endian."""
        return int.from_bytes(self.take(size), "little")

    def take(self, size: int) -> bytes:
        """The next bytes; fewer at the end."""
        taken = self._data[self._at : self._at + size]
        self._at += size
        return taken

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(len(self._data))
