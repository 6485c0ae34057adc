"""What a task reads and writes of cubes, and how long that takes, counted where it happens."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import wraps
from typing import Any

import numpy as np

from smdown.cubes import Cube

_counts = threading.local()


@dataclass
class Meter:
    """Seconds spent in cubes, and bytes of the arrays that came from them and went to them."""

    read_s: float = 0.0
    write_s: float = 0.0
    read_bytes: int = 0
    written_bytes: int = 0

    @property
    def text(self) -> str:
        """As a task reports it."""
        return json.dumps(asdict(self))

    def add(self, text: str) -> None:
        """Take in what a task reported."""
        for name, value in json.loads(text).items():
            setattr(self, name, getattr(self, name) + value)


@contextmanager
def metered() -> Iterator[Meter]:
    """Count what this thread reads and writes of cubes."""
    _install()
    _counts.meter = Meter()
    try:
        yield _counts.meter
    finally:
        _counts.meter = None


def _install() -> None:
    """Have cubes of this process tell whoever counts."""
    if getattr(Cube.read, "metered", False):
        return
    for name in ("read", "write"):
        setattr(Cube, name, _counted(name, getattr(Cube, name)))


def _counted(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def wrapper(*args: Any, **options: Any) -> Any:
        meter = getattr(_counts, "meter", None)
        if meter is None:
            return method(*args, **options)
        start = time.perf_counter()
        found = method(*args, **options)
        spent = time.perf_counter() - start
        if name == "read":
            meter.read_s += spent
            meter.read_bytes += found.nbytes
        else:
            meter.write_s += spent
            meter.written_bytes += np.asarray(args[2]).nbytes
        return found

    wrapper.metered = True  # type: ignore[attr-defined]
    return wrapper
