"""HDF5 through h5py: opening, missing names, fills and valid limits as SMAP files state them.

One thread of a process is inside the HDF5 library at a time.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import h5py
import numpy as np

from smdown.errors import InputError
from smdown.sources.config import Range
from smdown.sources.files import Item, why_bad_bytes, why_unreadable

LOCK = threading.RLock()
"""Held while a file is open: the library is not made for threads."""


@contextmanager
def open_hdf5(item: Item) -> Iterator[Any]:
    """Open a file or archive member for reading.

    Raises
    ------
    InputError
        If it is not HDF5, or damaged: also where the damage shows only while it is read.
    """
    if item.member is None:
        source: Any = item.path
        options: dict[str, Any] = {"locking": False}
    else:
        content = item.read()
        source, options = io.BytesIO(content), {}
    try:
        with LOCK, h5py.File(source, "r", **options) as file:
            yield file
    except (OSError, RuntimeError) as error:
        why = (
            why_unreadable(item.path, "HDF5", error)
            if item.member is None
            else why_bad_bytes(content[:512], "HDF5", error)
        )
        raise InputError(f"got {item}, {why}; download it again") from error


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
