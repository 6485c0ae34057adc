"""One run at a time in a project directory: whoever writes there holds its lease."""

from __future__ import annotations

import _thread
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from smdown.cubes.lease import Lease
from smdown.errors import IncompleteError
from smdown.stopping import STOP_SIGNALS
from smdown.training.world import world

P = ParamSpec("P")
T = TypeVar("T")


class Ownership:
    """Holds the lease of a place while any of its user's calls is under way.

    Parameters
    ----------
    url : str
        The project directory.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._lease: Lease | None = None

    @property
    def lease(self) -> Lease | None:
        """The lease, while it is held."""
        return self._lease

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lease; of several processes that train together, the first does.

        Raises
        ------
        ResourceError
            If another run has it.
        IncompleteError
            If another run took it over because this one seemed dead.
        """
        if self._lease is not None or world().rank > 0:
            yield
            return
        with Lease(self._url, lost=_interrupt) as lease:
            self._lease = lease
            try:
                yield
            except (KeyboardInterrupt, IncompleteError) as error:
                if lease.lost_to is None:
                    raise
                raise IncompleteError(
                    f"stopped in {self._url}: another run ({lease.lost_to}) took it over while this one seemed dead; "
                    "let it finish"
                ) from error
            finally:
                self._lease = None


def owning(method: Callable[Concatenate[Any, P], T]) -> Callable[Concatenate[Any, P], T]:
    """Return a method of a project that holds the project's lease while it runs."""

    @wraps(method)
    def owned(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with self.ownership.held():
            return method(self, *args, **kwargs)

    return owned


def _interrupt() -> None:
    """Interrupt the main thread by a signal that it listens to: what runs under nohup ignores SIGINT."""
    deaf = (signal.SIG_IGN, signal.SIG_DFL, None)
    heard = (number for number in STOP_SIGNALS if signal.getsignal(number) not in deaf)
    _thread.interrupt_main(next(heard, signal.SIGINT))
