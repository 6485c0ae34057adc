"""A lease on a folder or bucket prefix: of all processes that would write there, one at a time may.

It is one small JSON object, ``lease.json``: who holds it, and when that process last said that it lives. Taking it,
renewing it and taking it over from the dead are all :func:`smdown.cubes.swap.swap`. A lease whose process is known to
be gone (this machine, and no such process) is free at once, one from elsewhere when it has not been renewed for
`STALE_S`; clocks of machines that share a place must agree better than that.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Self

from smdown.cubes import store
from smdown.cubes.swap import swap
from smdown.errors import ResourceError, is_disk_full

NAME = "lease.json"
BEAT_S = 20.0
STALE_S = 180.0


@dataclass(frozen=True)
class Owner:
    """Who holds a lease.

    Parameters
    ----------
    token : str
        Unlike any other lease's.
    host : str
        Name of its machine, for people.
    machine : str
        Identity of the running machine and its process numbers; a restart or another container is another one.
    pid, born : int
        Process, and when the machine started it (0 where unknown): numbers are used again.
    started : str
        When the lease was taken, ISO, UTC.
    seen : float
        When it was last renewed, seconds since 1970.
    """

    token: str
    host: str
    machine: str
    pid: int
    born: int
    started: str
    seen: float

    @classmethod
    def me(cls) -> Self:
        """Return this process as an owner, with a new token."""
        started = datetime.now(UTC).isoformat(timespec="seconds")
        pid = os.getpid()
        return cls(uuid.uuid4().hex, socket.gethostname(), machine(), pid, born(pid) or 0, started, time.time())

    @classmethod
    def decode(cls, data: bytes) -> Self | None:
        """Return the owner that :meth:`encode` wrote, None if it is not readable."""
        try:
            found = json.loads(data)
            return cls(**{name: found[name] for name in cls.__dataclass_fields__})
        except (ValueError, TypeError, KeyError):
            return None

    def encode(self) -> bytes:
        """Return the lease's object."""
        return json.dumps(asdict(self), indent=1).encode()

    @property
    def gone(self) -> bool:
        """Whether it is dead for certain, or has not been heard of for long."""
        if self.machine == machine():
            return born(self.pid) is None or born(self.pid) != self.born
        return time.time() - self.seen > STALE_S

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.started}"


class Lease:
    """The right to write below a URL, until it is released.

    Parameters
    ----------
    url : str
        Folder or fsspec URL.
    lost : callable, optional
        Called by another thread if the lease turns out to be another's: this process was taken for dead.
    """

    def __init__(self, url: str, lost: Callable[[], None] | None = None) -> None:
        self._url = store.join(url, NAME)
        self._place = url
        self._tell_lost = lost
        self._ended = threading.Event()
        self._held = b""
        self.lost_to: Owner | None = None
        """Who has it now, if it is not this process."""

    @property
    def owner(self) -> Owner | None:
        """Who holds it, which is this process; None before it is taken."""
        return Owner.decode(self._held)

    def __enter__(self) -> Self:
        self.take()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def take(self) -> None:
        """Take the lease.

        Raises
        ------
        ResourceError
            If another process has it.
        """
        mine = Owner.me().encode()
        for _ in range(5):  # each time that another was faster, look again
            found = store.get(self._url)
            if found is not None and not _free(found):
                raise ResourceError(self._refusal(found))
            if self._swap(found, mine):
                self._held = mine
                self._ended.clear()
                self._beat = threading.Thread(target=self._renew_until_ended, name="lease", daemon=True)
                self._beat.start()
                return
        raise ResourceError(f"got no hold of {self._place}, for which several runs compete; start one at a time")

    def release(self) -> None:
        """Give the lease back; one that was lost stays with whoever has it."""
        self._ended.set()
        self._beat.join()
        swap(self._url, self._held, None)

    def renew(self) -> bool:
        """Say that this process lives; return False if the lease is another's now."""
        owner = Owner.decode(self._held)
        assert owner is not None
        new = replace(owner, seen=time.time()).encode()
        if swap(self._url, self._held, new):
            self._held = new
            return True
        found = store.get(self._url)
        if found is None and swap(self._url, None, new):  # somebody removed it by hand
            self._held = new
            return True
        other = Owner.decode(found or b"")
        if other is None or other.token == owner.token:  # neither ours nor anybody's: the next beat will tell
            return True
        self.lost_to = other
        return False

    def _swap(self, found: bytes | None, mine: bytes) -> bool:
        try:
            return swap(self._url, found, mine)
        except OSError as error:
            if is_disk_full(error):
                raise
            problem = " ".join(str(error).split())
            raise ResourceError(f"got {self._place}, which cannot be written ({problem}); check its rights") from error

    def _renew_until_ended(self) -> None:
        while not self._ended.wait(BEAT_S):
            try:
                kept = self.renew()
            except Exception:  # noqa: BLE001, S112 - a full disk or a line that is down: try again at the next beat
                continue
            if not kept:
                if self._tell_lost is not None:
                    self._tell_lost()
                return

    def _refusal(self, found: bytes) -> str:
        owner = Owner.decode(found)
        return (
            f"got {self._place}, where another run is at work ({owner or 'unreadable'}); wait for its end, or choose "
            f"another place; if it is dead, its hold ends {STALE_S:.0f} s after its last sign of life "
            f"(or remove {self._url})"
        )


def _free(found: bytes) -> bool:
    owner = Owner.decode(found)
    return owner is not None and owner.gone


@lru_cache(maxsize=1)
def machine() -> str:
    """Return what tells this running machine (and its own count of processes) from any other."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"  # noqa: PTH115 - it is no path
    except OSError:
        return f"{socket.gethostname()} {uuid.getnode():x}"


def born(pid: int) -> int | None:
    """Return when a process of this machine was started, 0 where that is unknown, None if there is no such process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return None
    except OSError:
        return None
    else:
        return None if fields[0] in "ZX" else int(fields[19])
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except OSError:
        pass
    return 0
