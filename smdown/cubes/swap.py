"""Replace a small object only if it still is what one saw: the one thing that two processes cannot both succeed in.

On a local disk a lock on the folder guards the comparison; where its file system has no locks, a first writer still
wins alone, by a link that fails if the name is taken. On S3 the server compares (``If-None-Match``, ``If-Match``).
Other stores are asked to create only (`mode="create"`); replacing there follows a comparison that nothing guards across
processes.
"""

from __future__ import annotations

import fcntl
import os
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from smdown.cubes import store

_THREADS = threading.Lock()


def swap(url: str, old: bytes | None, new: bytes | None) -> bool:
    """Replace an object if it is what it was.

    Parameters
    ----------
    url : str
        Local path or fsspec URL of a small object.
    old : bytes, optional
        What it must be now; None if it must not be there.
    new : bytes, optional
        What it becomes; None removes it.

    Returns
    -------
    bool
        Whether it became so.
    """
    with _THREADS:
        if store.is_local(url):
            path = store.local_path(url)
            path.parent.mkdir(parents=True, exist_ok=True)
            with _locked(path.parent):
                return _swap_local(path, old, new)
        return _swap_remote(url, old, new)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, where its file system has any."""
    place = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(place, fcntl.LOCK_EX)
        yield
    finally:
        os.close(place)


def _swap_local(path: Path, old: bytes | None, new: bytes | None) -> bool:
    if store.get(str(path)) != old:
        return False
    if new is None:
        path.unlink(missing_ok=True)
    elif old is None:
        return _create(path, new)
    else:
        store.put(str(path), new)
    return True


def _create(path: Path, data: bytes) -> bool:
    """Create a file whole, and only if there is none."""
    whole = path.with_name(f"{path.name}.{uuid.uuid4().hex}.partial")
    try:
        whole.write_bytes(data)
        try:
            os.link(whole, path)
        except FileExistsError:
            return False
        except OSError:  # a file system without links
            with suppress(FileExistsError), path.open("xb") as file:
                file.write(data)
                return True
            return False
    finally:
        whole.unlink(missing_ok=True)
    return True


def _swap_remote(url: str, old: bytes | None, new: bytes | None) -> bool:
    fs, path = store.remote(url)
    s3 = "s3" in fs.protocol
    tag = None
    if old is not None:
        tag = _etag(fs, path) if s3 else None
        if store.get(url) != old:
            return False
    if new is None:
        if old is not None:
            fs.rm_file(path)
        return True
    condition: dict[str, Any] = {"mode": "create"} if old is None else {"IfMatch": tag} if tag else {}
    try:
        fs.pipe_file(path, new, **condition)
    except FileNotFoundError:  # it was removed meanwhile
        return False
    except (OSError, ValueError):
        if store.get(url) in {old, None}:  # not refused because another was first
            raise
    return store.get(url) == new


def _etag(fs: Any, path: str) -> str | None:
    with suppress(FileNotFoundError):
        return str(fs.info(path, refresh=True)["ETag"])
    return None
