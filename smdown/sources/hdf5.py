"""HDF5 through h5py: opening, missing names, fills and valid limits as SMAP files state them.

One thread of a process is inside the HDF5 library at a time.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import h5py
import numpy as np

from smdown.errors import InputError, SmdownError
from smdown.sources import blocks
from smdown.sources.config import Range
from smdown.sources.copies import local
from smdown.sources.files import READING_ERRORS, why_bad_bytes
from smdown.sources.items import Item

LOCK = threading.RLock()
"""Held while a file is open: the library is not made for threads."""

LARGEST = 1 << 27
"""Values that an array which is read whole may have: many times those of a lattice. A damaged size asks for more."""

T = TypeVar("T")


@contextmanager
def open_hdf5(item: Item) -> Iterator[Any]:
    """Open a file or archive member for reading; of a remote file a copy, for this once.

    Raises
    ------
    InputError
        If it is not HDF5, or damaged: also where the damage shows only while it is read.
    """
    if item.member is None:
        with local(item.place, once=True) as path, _told(item, None), LOCK, h5py.File(path, "r", locking=False) as file:
            yield file
    else:
        content = item.read()
        with _told(item, content[:512]), LOCK, h5py.File(io.BytesIO(content), "r") as file:
            yield file


@contextmanager
def _told(item: Item, head: bytes | None) -> Iterator[None]:
    """Turn the library's errors into one that says what the file is."""
    try:
        yield
    except SmdownError:
        raise
    except READING_ERRORS as error:
        why = item.place.why("HDF5", error) if head is None else why_bad_bytes(head, "HDF5", error)
        raise InputError(f"got {item}, {why}; download it again") from error


def look(item: Item, use: Callable[[Any], T]) -> T:
    """Return what `use` makes of an open file of which little is wanted: a remote one is not copied for that.

    Parameters
    ----------
    item : Item
        Which file.
    use : callable
        Takes the open file; may be called more than once.

    Raises
    ------
    InputError
        As :func:`open_hdf5`, or from `use`.
    """
    if item.place.remote and item.member is None:
        found = blocks.look(item.place, lambda stream: _use(stream, use))
        if found is not None:
            return found
    with open_hdf5(item) as file:
        return use(file)


def _use(stream: Any, use: Callable[[Any], T]) -> T:
    with LOCK, h5py.File(stream, "r") as file:
        return use(file)


def dataset(file: Any, path: str, item: Item) -> Any:
    """Return a dataset of an open file.

    Raises
    ------
    InputError
        If there is none; the message names the datasets that there are.
    """
    found = file.get(path)
    if isinstance(found, h5py.Dataset):
        return found
    names = dataset_names(file)
    listed = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
    raise InputError(f"got {item}, which has no {path!r}; it has {listed or 'nothing'}; correct variables")


def whole(node: Any, item: Item) -> Any:
    """Return all of a dataset.

    Raises
    ------
    InputError
        If it claims more values than any file of a lattice holds.
    """
    check_size(node, item)
    return node[...]


def check_size(node: Any, item: Item) -> None:
    """Raise InputError where a dataset claims more values than any file of a lattice holds."""
    if not 0 <= (node.size or 0) <= LARGEST:
        raise InputError(f"got {item}, whose {node.name} claims {node.size} values; it is damaged, download it again")


def dataset_names(file: Any) -> list[str]:
    """Return the paths of all datasets in a file."""
    names: list[str] = []
    file.visititems(lambda name, node: names.append(name) if isinstance(node, h5py.Dataset) else None)
    return names


def number(node: Any, name: str) -> float | None:
    """Return an attribute as a number, None where there is none."""
    value = node.attrs.get(name)
    if value is None:
        return None
    try:
        return float(np.asarray(value).reshape(-1)[0])
    except (TypeError, ValueError):
        return None


def text(node: Any, name: str) -> str:
    """Return an attribute as text, empty where there is none."""
    value = node.attrs.get(name, "")
    value = np.asarray(value).reshape(-1)[0] if np.ndim(value) else value
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def fills(node: Any) -> tuple[float, ...]:
    """Return the values that stand for missing, as attributes state them."""
    values = (number(node, name) for name in ("_FillValue", "missing_value", "fmissing_value"))
    return tuple(sorted({v for v in values if v is not None and np.isfinite(v)}))


def limits(node: Any) -> Range | None:
    """Return the valid limits, as attributes state them."""
    low, high = number(node, "valid_min"), number(node, "valid_max")
    return (low, high) if low is not None and high is not None and low < high else None
