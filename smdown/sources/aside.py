"""Setting a file aside: it cannot be used, a line says why, and the rest goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from smdown.errors import InputError

SHOWN = 20
"""Files set aside that a task's notes name."""

T = TypeVar("T")


class FileError(InputError):
    """An input error that one file is to blame for.

    Parameters
    ----------
    item : str
        Name of the file.
    reason : str
        The whole message, one line.
    """

    def __init__(self, item: str, reason: str) -> None:
        super().__init__(reason)
        self.item = item

    def __reduce__(self) -> tuple[type[FileError], tuple[str, str]]:
        return FileError, (self.item, str(self))


def one_line(error: BaseException) -> str:
    """Return an error's message in one line."""
    return " ".join(str(error).split())


@contextmanager
def blame(item: Any) -> Iterator[None]:
    """Turn input errors into errors of this file."""
    try:
        yield
    except FileError:
        raise
    except InputError as error:
        raise FileError(str(item), one_line(error)) from error


@dataclass
class SetAside:
    """Files that cannot be used, each with its reason.

    Parameters
    ----------
    strict : bool
        Stop at the first instead.
    reasons : dict
        Reason by file.
    """

    strict: bool = False
    reasons: dict[str, str] = field(default_factory=dict)

    def put(self, item: Any, error: InputError) -> None:
        """Set a file aside.

        Raises
        ------
        InputError
            The error itself, where none may be set aside.
        """
        if self.strict:
            raise error
        self.reasons.setdefault(str(item), one_line(error))

    def attempt(self, item: Any, use: Callable[[], T]) -> T | None:
        """Return what `use` returns, None where it shows that the file cannot be used."""
        try:
            return use()
        except InputError as error:
            self.put(item, error)
            return None

    def nothing_left(self, what: str, count: int) -> InputError:
        """Return the error for a source without a file that can be used; one alone says its own reason."""
        first = next(iter(self.reasons.values()), "it is empty")
        if len(self.reasons) <= 1 and count <= 1:
            return InputError(first)
        return InputError(f"got {what}, of which no file can be used: {first}")

    @property
    def notes(self) -> list[str]:
        """The files and their reasons, in words."""
        lines = [f"set aside: {reason}" for reason in list(self.reasons.values())[:SHOWN]]
        more = len(self.reasons) - SHOWN
        return [*lines, f"set aside: {more} more files, see the quality report"] if more > 0 else lines


def first_usable(items: Sequence[T], aside: SetAside, use: Callable[[T], Any], what: str) -> tuple[T, Any]:
    """Return the first file that can be used, and what `use` made of it; all are tried where none may be set aside.

    Raises
    ------
    InputError
        If there is none.
    """
    found: tuple[T, Any] | None = None
    for item in items:
        if found is not None and not aside.strict:
            break
        made = aside.attempt(item, lambda item=item: use(item))  # type: ignore[misc]
        if made is not None and found is None:
            found = item, made
    if found is None:
        raise aside.nothing_left(what, len(items))
    return found
