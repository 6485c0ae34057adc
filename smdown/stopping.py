"""Requests to end, from a terminal, a batch system or a closed line: each is Ctrl-C, and shows in the exit status."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
"""Ctrl-C, a batch system's end of time, a line that is closed, SLURM's ``--signal=USR1@60``."""


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Raise KeyboardInterrupt at any request to end.

    Signals that whoever started this process had ignored (``nohup``) stay ignored.

    Yields
    ------
    list of int
        The signals that came; an exit status is 128 and the first of them.
    """
    came: list[int] = []

    def stop(number: int, frame: object) -> None:
        del frame
        came.append(number)
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, stop)
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ignore_stop_signals() -> dict[int, Any]:
    """Leave the end of this process to whoever started it; for workers, which a terminal's Ctrl-C reaches too.

    Returns
    -------
    dict
        What each signal did before.
    """
    return {number: signal.signal(number, signal.SIG_IGN) for number in STOP_SIGNALS}


@contextmanager
def undisturbed_children() -> Iterator[None]:
    """Let processes that are started meanwhile ignore requests to end, as they inherit it; only in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = ignore_stop_signals()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
