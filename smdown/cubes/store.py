"""Places that hold cubes: local folders and any fsspec URL, behind a few small functions."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import fsspec
import zarr

from smdown.errors import ConfigError, ResourceError

_PARTIAL = ".partial"
_AT_ONCE = 8
_Item = TypeVar("_Item")


def is_local(url: str) -> bool:
    """Whether the URL is a path of the local file system."""
    return "://" not in url or url.startswith("file://")


def local_path(url: str) -> Path:
    """Return a local URL as a path."""
    return Path(url.removeprefix("file://"))


def join(base: str, *parts: str) -> str:
    """Return a URL below `base`."""
    return "/".join([base.rstrip("/"), *parts])


def remote(url: str) -> tuple[Any, str]:
    """Return the file system and the path there; listings are never remembered, since other processes write too."""
    try:
        fs, path = fsspec.core.url_to_fs(url, use_listings_cache=False)
    except (ValueError, ImportError) as error:
        raise ConfigError(
            f"got {url} ({error}); name a folder, or a URL of a kind that fsspec knows and whose library is installed"
        ) from error
    return fs, str(path)


def make_folder(path: Path) -> None:
    """Make a local folder, and those above it, where there is none.

    Raises
    ------
    ResourceError
        If that is not possible.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResourceError(f"got {path}, which cannot be written ({error}); check its rights") from error


def exists(url: str) -> bool:
    """Whether anything lies at the URL."""
    if is_local(url):
        return local_path(url).exists()
    fs, path = remote(url)
    return bool(fs.exists(path))


def is_empty(url: str) -> bool:
    """Whether a local folder or a prefix holds no object yet (a killed writer's temporary files do not count)."""
    if is_local(url):
        path = local_path(url)
        return path.is_dir() and all(p.is_dir() or p.name.endswith(_PARTIAL) for p in path.rglob("*"))
    return not sizes(url)


def delete(url: str) -> None:
    """Remove whatever lies at the URL, with all that is below it."""
    if is_local(url):
        path = local_path(url)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        return
    fs, path_ = remote(url)
    if fs.exists(path_):
        fs.rm(path_, recursive=True)


def get(url: str) -> bytes | None:
    """Return the bytes of one object, None where there is none."""
    try:
        if is_local(url):
            return local_path(url).read_bytes()
        fs, path = remote(url)
        return bytes(fs.cat_file(path))
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


def get_parts(url: str, spans: Sequence[tuple[int, int | None]]) -> list[bytes] | None:
    """Return byte ranges (start, stop) of an object, None where there is none; a negative start counts from the end."""
    try:
        if not is_local(url):
            fs, path = remote(url)
            starts, stops = zip(*spans, strict=True) if spans else ((), ())
            return [bytes(b) for b in fs.cat_ranges([path] * len(spans), list(starts), list(stops), on_error="raise")]
        with local_path(url).open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            limits = [(a if a >= 0 else max(size + a, 0), size if b is None else b) for a, b in spans]
            return [os.pread(file.fileno(), max(b - a, 0), a) for a, b in limits]
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


def each(url: str, function: Callable[[_Item], object], items: Sequence[_Item]) -> None:
    """Call a function for every item, several at a time where the objects of `url` are far away."""
    if is_local(url) or len(items) < 2:
        for item in items:
            function(item)
        return
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for _ in pool.map(function, items):
            pass


def put(url: str, data: bytes) -> None:
    """Write one object at once: a reader sees the old bytes or the new, never a part."""
    if not is_local(url):
        fs, path_ = remote(url)
        fs.pipe_file(path_, data)
        return
    path = local_path(url)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}{_PARTIAL}")
    try:
        partial.write_bytes(data)
        os.replace(partial, path)  # noqa: PTH105 - the atomic one
    finally:
        partial.unlink(missing_ok=True)


def names(url: str) -> list[str]:
    """Return the names of what lies directly below the URL, sorted; none where there is nothing."""
    if is_local(url):
        path = local_path(url)
        return sorted(p.name for p in path.iterdir()) if path.is_dir() else []
    fs, path_ = remote(url)
    try:
        return sorted({str(entry).rstrip("/").rsplit("/", 1)[-1] for entry in fs.ls(path_, detail=False)})
    except FileNotFoundError:
        return []


def sizes(url: str) -> dict[str, int]:
    """Return the size of every object below the URL, by its key there; temporary files are left out."""
    if is_local(url):
        return {key: entry.stat().st_size for key, entry in _files(local_path(url)) if not key.endswith(_PARTIAL)}
    fs, path = remote(url)
    return {str(k).removeprefix(path).lstrip("/"): int(v["size"]) for k, v in fs.find(path, detail=True).items()}


def contents(url: str) -> dict[str, bytes]:
    """Return every (small) object below the URL by its key there; temporary files are left out."""
    if is_local(url):
        found = {key: get(entry.path) for key, entry in _files(local_path(url)) if not key.endswith(_PARTIAL)}
        return {key: data for key, data in found.items() if data is not None}
    fs, path = remote(url)
    paths = fs.find(path)
    found_there = fs.cat(paths, on_error="omit") if len(paths) > 1 else {p: fs.cat_file(p) for p in paths}
    return {str(key).removeprefix(path).lstrip("/"): bytes(data) for key, data in found_there.items()}


def _files(base: Path, prefix: str = "") -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield the files below a local folder by their keys there; hundreds of thousands in a few seconds."""
    try:
        entries = list(os.scandir(base))
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _files(Path(entry.path), f"{prefix}{entry.name}/")
        elif entry.is_file():
            yield prefix + entry.name, entry


def zarr_store(url: str, *, read_only: bool = False) -> Any:
    """Return the Zarr store of a URL."""
    if is_local(url):
        return zarr.storage.LocalStore(local_path(url), read_only=read_only)
    return zarr.storage.FsspecStore.from_url(url, {"use_listings_cache": False}, read_only=read_only)


def sweep_partials(url: str) -> int:
    """Remove temporary files that a killed writer left in a local cube, and return how many."""
    if not is_local(url):
        return 0
    count = 0
    for key, entry in _files(local_path(url)):
        if key.endswith(_PARTIAL):
            Path(entry.path).unlink(missing_ok=True)
            count += 1
    return count
