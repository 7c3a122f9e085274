"""A part of a file, as a file."""

import io
from typing import BinaryIO


class Part(io.RawIOBase):
    """At most ``length`` bytes of a file from where it stands; closes it when it is closed."""

    def __init__(self, file: BinaryIO, length: int) -> None:
        super().__init__()
        self._file = file
        self._left = length

    def readable(self) -> bool:
        """It is."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Up to ``size`` bytes, all that are left where it is negative."""
        wanted = self._left if size < 0 else min(size, self._left)
        data = self._file.read(wanted)
        self._left -= len(data)
        return data

    def close(self) -> None:
        """Closes the file, too."""
        self._file.close()
        super().close()
