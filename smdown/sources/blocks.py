"""Looking into a remote HDF5 file without copying it: only the blocks that its metadata lie in are fetched.

Nothing is fetched while the HDF5 library reads (see :mod:`smdown.sources.copies`): what is not there yet ends the
attempt, is fetched, and the look begins anew, so a look takes as many attempts as it meets gaps, and some more.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, TypeVar

from smdown.errors import InputError
from smdown.sources.files import READING_ERRORS
from smdown.sources.places import Place, filesystem, remote_errors

BLOCK_BYTES = 1 << 18
LONGEST_RUN = 16
"""Blocks fetched at once where reading goes on from block to block."""
ATTEMPTS = 64
SMALL_BYTES = 4 * BLOCK_BYTES
"""Files up to this are fetched whole."""

T = TypeVar("T")


class MissingBlockError(OSError):
    """A read met a block that has not been fetched."""


class Blocks:
    """The blocks of a remote file that have been fetched.

    Parameters
    ----------
    place : Place
        The file.
    size : int
        Its length, bytes.
    """

    def __init__(self, place: Place, size: int) -> None:
        self.place, self.size = place, size
        self.missing: int | None = None
        self._blocks: dict[int, bytes] = {}
        self._run = 1

    @property
    def lacking(self) -> bool:
        """Whether a read met a block that is not here."""
        return self.missing is not None

    @property
    def held_bytes(self) -> int:
        """What has been fetched."""
        return sum(map(len, self._blocks.values()))

    def get(self, start: int, stop: int) -> bytes:
        """Return bytes that have been fetched.

        Raises
        ------
        MissingBlockError
            If some have not; the first block lacking is noted.
        """
        numbers = range(start // BLOCK_BYTES, -(-stop // BLOCK_BYTES))
        for n in numbers:
            if n not in self._blocks:
                self.missing = n if self.missing is None else self.missing
                raise MissingBlockError(f"block {n} of {self.place} is not here")
        joined = b"".join(self._blocks[n] for n in numbers)
        return joined[start - numbers.start * BLOCK_BYTES :][: stop - start]

    def fetch(self, first: int, count: int) -> bool:
        """Fetch blocks that lie in a row; return whether the server gave just them."""
        start, stop = first * BLOCK_BYTES, min((first + count) * BLOCK_BYTES, self.size)
        fs, name = filesystem(self.place.url)
        data = fs.cat_file(name, start=start, end=stop)
        if len(data) != stop - start:
            return False
        for n in range(first, -(-stop // BLOCK_BYTES)):
            self._blocks[n] = data[n * BLOCK_BYTES - start :][:BLOCK_BYTES]
        return True

    def fetch_missing(self) -> bool:
        """Fetch the block that a read lacked, and more where reading goes on from block to block."""
        assert self.missing is not None
        self._run = min(2 * self._run, LONGEST_RUN) if self.missing - 1 in self._blocks else 1
        return self.fetch(self.missing, self._run)


class _Stream(io.RawIOBase):
    """A file object over the blocks at hand."""

    def __init__(self, blocks: Blocks) -> None:
        self._blocks, self._at = blocks, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._blocks.size)[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        stop = min(self._at + len(buffer), self._blocks.size)
        data = self._blocks.get(self._at, stop) if stop > self._at else b""
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def look(place: Place, use: Callable[[Any], T]) -> T | None:
    """Return what `use` makes of a file object over a remote file; None where that takes a copy.

    Parameters
    ----------
    place : Place
        A remote file.
    use : callable
        Called again with a new file object until it meets no gap; it must leave nothing behind when it fails.

    Raises
    ------
    InputError
        If the file cannot be fetched, or `use` says so with all it needs at hand.
    """
    with remote_errors(lambda problem: f"got {place}, which cannot be fetched ({problem}); try again, or correct it"):
        blocks = Blocks(place, place.version()[0])
        if not blocks.size or not blocks.fetch(0, -(-blocks.size // BLOCK_BYTES) if blocks.size <= SMALL_BYTES else 1):
            return None
    for _ in range(ATTEMPTS):
        found, complete = _attempt(blocks, use)
        if complete:
            return found
        with remote_errors(lambda problem: f"got {place}, which cannot be fetched ({problem}); try again"):
            if not blocks.lacking or 2 * blocks.held_bytes > blocks.size + SMALL_BYTES:
                return None
            if not blocks.fetch_missing():
                return None
    return None


def _attempt(blocks: Blocks, use: Callable[[Any], T]) -> tuple[T | None, bool]:
    """Return what `use` made, and whether it lacked nothing; a failure of another kind is left to the copy's reader."""
    blocks.missing = None
    try:
        found = use(_Stream(blocks))
    except Exception as error:
        if not blocks.lacking and (isinstance(error, InputError) or not isinstance(error, READING_ERRORS)):
            raise
        return None, False
    return found, not blocks.lacking
