"""Local copies of remote files, for the libraries that read nothing else: made when a file is read, and bounded.

Copies lie in one folder of the process below the system's temporary folder (``TMPDIR`` moves it). A file that is read
once goes with its reading; others (archives, NetCDF) stay for the next reader until 4 GiB are exceeded or the process
ends. A copy takes its name when all of it is there, so one that was interrupted is never read. What a killed process
leaves is removed by the next one on the same machine.

HDF5 is not read through file objects of fsspec: its library holds a lock while it calls them, and a garbage collection
in the thread that fetches then waits for that very lock, for ever.
"""

from __future__ import annotations

import atexit
import errno
import itertools
import os
import platform
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from smdown.errors import InputError, ResourceError
from smdown.sources.places import Place, filesystem, remote_errors

LIMIT_BYTES = 4 * 2**30
"""What unused copies of a process may hold together."""
TRIES = 4
_PREFIX = "smdown-copies"
_PAUSE_S = 0.5


@dataclass
class _Copy:
    path: Path
    version: tuple[int, str]
    users: int = 0

    def remove(self) -> None:
        shutil.rmtree(self.path.parent, ignore_errors=True)


class Copies:
    """The copies of one process.

    Parameters
    ----------
    limit_bytes : int
        What unused copies may hold together; the longest unused go first.
    """

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self.limit_bytes = limit_bytes
        self._lock = threading.RLock()
        self._making: dict[str, threading.Lock] = {}
        self._copies: dict[str, _Copy] = {}
        self._checked: set[str] = set()
        self._count = itertools.count()
        self._folder: Path | None = None

    @contextmanager
    def local(self, place: Place, *, once: bool = False) -> Iterator[Path]:
        """Give the path of a file, copied first if it is remote; `once` removes the copy after this use.

        Raises
        ------
        InputError
            If the file cannot be fetched, or changes meanwhile.
        ResourceError
            If the disk is full.
        """
        if not place.remote:
            yield Path(place.url)
            return
        copy = self._take(place)
        try:
            yield copy.path
        finally:
            self._give_back(place, copy, once)

    def recheck(self) -> None:
        """Ask the stores whether copied files have changed, each before its next use."""
        with self._lock:
            self._checked.clear()

    def clear(self) -> None:
        """Remove the copies that nobody uses."""
        with self._lock:
            self._shrink(0)

    @property
    def held_bytes(self) -> int:
        """What all copies hold."""
        with self._lock:
            return sum(copy.path.stat().st_size for copy in self._copies.values())

    def _take(self, place: Place) -> _Copy:
        with self._lock:
            making = self._making.setdefault(place.url, threading.Lock())
        with making:
            copy = self._copies.get(place.url)
            if copy is None or (place.url not in self._checked and copy.version != place.version()):
                self._forget(place.url)
                copy = self._make(place)
            with self._lock:
                self._copies.pop(place.url, None)
                self._copies[place.url] = copy  # the last is the one used last
                self._checked.add(place.url)
                copy.users += 1
        return copy

    def _forget(self, url: str) -> None:
        with self._lock:
            old = self._copies.pop(url, None)
            if old is not None and not old.users:
                old.remove()

    def _give_back(self, place: Place, copy: _Copy, once: bool) -> None:
        with self._lock:
            copy.users -= 1
            if copy.users:
                return
            if self._copies.get(place.url) is not copy:
                copy.remove()
            elif once:
                self._forget(place.url)
            self._shrink(self.limit_bytes)

    def _shrink(self, limit_bytes: int) -> None:
        held = self.held_bytes
        for url in [url for url, copy in self._copies.items() if not copy.users]:
            if held <= limit_bytes:
                return
            held -= self._copies[url].path.stat().st_size
            self._forget(url)

    def _make(self, place: Place) -> _Copy:
        folder = self._home() / str(next(self._count))
        folder.mkdir()
        path = folder / (place.name if place.name.strip(".") else "file")
        try:
            return _Copy(path, fetch(place, path))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _home(self) -> Path:
        with self._lock:
            if self._folder is None or not self._folder.is_dir():
                _sweep()
                self._folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}-{_host()}-{os.getpid()}-"))
                atexit.register(shutil.rmtree, self._folder, ignore_errors=True)
            return self._folder


def fetch(place: Place, path: Path) -> tuple[int, str]:
    """Copy a remote file to a path, which takes its name when all of it is there; return the version copied.

    Raises
    ------
    InputError
        If it cannot be fetched after four tries, or changes meanwhile.
    ResourceError
        If the disk is full.
    """
    part = path.with_name(path.name + ".part")
    with remote_errors(lambda problem: f"got {place}, which cannot be fetched ({problem}); try again, or correct it"):
        for attempt in range(1, TRIES + 1):
            try:
                version = _copy(place, part)
                break
            except Exception as error:
                if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                    raise ResourceError(
                        f"got {place}, and no room for its copy in {path.parent.parent}; set TMPDIR to a larger disk"
                    ) from error
                if attempt == TRIES or _final(error):
                    raise
                time.sleep(_PAUSE_S * attempt)
    part.replace(path)
    return version


def _copy(place: Place, part: Path) -> tuple[int, str]:
    fs, name = filesystem(place.url)
    before = place.version()
    fs.get_file(name, str(part))
    got = part.stat().st_size
    if before[0] and got != before[0]:
        raise OSError(f"{got} of {before[0]} bytes came")
    if place.version() != before:
        raise OSError("it changed while it was copied")
    return before


def _final(error: Exception) -> bool:
    """Whether trying again will not help."""
    status = getattr(error, "status", None)
    refused = isinstance(status, int) and 400 <= status < 500 and status not in (408, 429)
    return refused or isinstance(error, FileNotFoundError | PermissionError | ImportError | ValueError | InputError)


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9.]", "_", platform.node()) or "host"


def _sweep() -> None:
    """Remove what processes of this machine left that are no more."""
    pattern = re.compile(rf"{_PREFIX}-{re.escape(_host())}-(\d+)-")
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}-*"):
        match = pattern.match(folder.name)
        if match and int(match[1]) != os.getpid() and not _alive(int(match[1])):
            shutil.rmtree(folder, ignore_errors=True)


def _alive(pid: int) -> bool:
    with suppress(PermissionError):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
    return True


COPIES = Copies()
"""Those of this process."""


def local(place: Place, *, once: bool = False) -> AbstractContextManager[Path]:
    """Give the path of a file, as :meth:`Copies.local` of this process."""
    return COPIES.local(place, once=once)
