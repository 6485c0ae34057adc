"""Places that hold cubes: local folders and any fsspec URL, behind four small functions."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import fsspec
import zarr


def is_local(url: str) -> bool:
    """Whether the URL is a path of the local file system."""
    return "://" not in url or url.startswith("file://")


def local_path(url: str) -> Path:
    """Return a local URL as a path."""
    return Path(url.removeprefix("file://"))


def join(base: str, *parts: str) -> str:
    """Return a URL below `base`."""
    return "/".join([base.rstrip("/"), *parts])


def exists(url: str) -> bool:
    """Whether anything lies at the URL."""
    if is_local(url):
        return local_path(url).exists()
    fs, path = fsspec.core.url_to_fs(url)
    return bool(fs.exists(path))


def is_empty(url: str) -> bool:
    """Whether a local folder or a prefix holds no object yet (a killed writer's temporary files do not count)."""
    if is_local(url):
        path = local_path(url)
        return path.is_dir() and all(p.is_dir() or p.name.endswith(".partial") for p in path.rglob("*"))
    fs, path_ = fsspec.core.url_to_fs(url)
    return not fs.find(path_)


def delete(url: str) -> None:
    """Remove whatever lies at the URL, with all that is below it."""
    if is_local(url):
        path = local_path(url)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        return
    fs, path_ = fsspec.core.url_to_fs(url)
    if fs.exists(path_):
        fs.rm(path_, recursive=True)


def zarr_store(url: str, *, read_only: bool = False) -> Any:
    """Return the Zarr store of a URL."""
    if is_local(url):
        return zarr.storage.LocalStore(local_path(url), read_only=read_only)
    return zarr.storage.FsspecStore.from_url(url, read_only=read_only)


def sweep_partials(url: str) -> int:
    """Remove temporary files that a killed writer left in a local cube, and return how many."""
    if not is_local(url):
        return 0
    count = 0
    for path in local_path(url).rglob("*.partial"):
        path.unlink(missing_ok=True)
        count += 1
    return count
