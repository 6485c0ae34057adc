"""Rasters wherever they lie: local files and any fsspec URL, opened through GDAL, read a window at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec
import rasterio
from rasterio.errors import RasterioError
from rasterio.session import DummySession

from smdown.errors import InputError
from smdown.sources.files import digest, find_files, why_bad_bytes, why_unreadable

_HTTP = ("http://", "https://")
_OPENER_LOCK = threading.Lock()
_HTTP_OPTIONS = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_HTTP_MAX_RETRY": 4, "GDAL_HTTP_RETRY_DELAY": 0.5}
_STAMPS = ("ETag", "etag", "LastModified", "last_modified", "updated", "mtime", "created")
_REMOTE_ERRORS = (OSError, ValueError, RuntimeError, ImportError, RasterioError)
_REMOTE_MODULES = ("aiohttp", "botocore", "gcsfs", "requests", "pystac_client")


def gdal_options(**options: Any) -> rasterio.Env:
    """Return the environment that sets options of GDAL; buckets are read through fsspec, so it looks for no keys."""
    return rasterio.Env(session=DummySession(), **options)


def is_remote_error(error: BaseException) -> bool:
    """Whether an error is one of those that file systems raise for what is not there, not allowed or not reachable."""
    return isinstance(error, _REMOTE_ERRORS) or type(error).__module__.startswith(_REMOTE_MODULES)


@contextmanager
def remote_errors(say: Callable[[str], str]) -> Iterator[None]:
    """Turn what file systems raise into an InputError with the message that `say` makes of the problem."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        if not is_remote_error(error):
            raise
        raise InputError(say(" ".join(str(error).split())[:160] or type(error).__name__)) from error


@dataclass(frozen=True, order=True)
class Place:
    """One file: a local path or a URL.

    Parameters
    ----------
    url : str
        Where.
    """

    url: str

    def __str__(self) -> str:
        return self.url.split("?")[0] if self.remote else self.url

    @property
    def remote(self) -> bool:
        """Whether it is a URL."""
        return "://" in self.url

    @property
    def name(self) -> str:
        """File name without folders and query."""
        return PurePosixPath(str(self)).name

    @property
    def folder(self) -> str:
        """Everything before the name."""
        return str(self)[: -len(self.name) - 1]

    @contextmanager
    def open(self) -> Iterator[Any]:
        """Open the raster with GDAL: web addresses by GDAL itself, other URLs through fsspec.

        Raises
        ------
        InputError
            If it is no raster, or breaks while it is read.
        """
        try:
            with gdal_options(**_HTTP_OPTIONS) if self.remote else nullcontext(), self._opened() as file:
                yield file
        except InputError:
            raise
        except Exception as error:
            if not is_remote_error(error):
                raise
            raise InputError(f"got {self}, {self._why(error)}; download it again") from error

    def _opened(self) -> Any:
        if not self.remote or self.url.startswith(_HTTP):
            return rasterio.open(self.url)
        fs, path = fsspec.core.url_to_fs(self.url)
        with _OPENER_LOCK:
            return rasterio.open(path, opener=fs)

    def _why(self, error: BaseException) -> str:
        if not self.remote:
            return why_unreadable(Path(self.url), "a raster", error)
        try:
            with remote_errors(lambda problem: f"which cannot be fetched ({problem})"):
                fs, path = fsspec.core.url_to_fs(self.url)
                return why_bad_bytes(fs.cat_file(path, 0, 512), "a raster", error)
        except InputError as problem:
            return str(problem)

    def identity(self) -> tuple[str, int, str]:
        """Return name, size, and a digest of samples; of a remote file what its store says of its version.

        Raises
        ------
        InputError
            If a remote file is not there.
        """
        if not self.remote:
            path = Path(self.url)
            return path.name, path.stat().st_size, digest(path)
        with remote_errors(lambda problem: f"got {self}, which cannot be fetched ({problem}); correct the path"):
            fs, path_ = fsspec.core.url_to_fs(self.url)
            info = fs.info(path_)
        return self.name, int(info.get("size") or 0), str(next((info[k] for k in _STAMPS if info.get(k)), ""))


def find_places(paths: Sequence[str], suffixes: Sequence[str]) -> tuple[Place, ...]:
    """Return the files that paths, folders, patterns and URLs name, sorted, each once.

    Parameters
    ----------
    paths : sequence of str
        As :func:`find_files`; a URL may name a file, hold ``*``, or end in ``/`` for a folder.
    suffixes : sequence of str
        Lower-case endings that count inside folders.

    Raises
    ------
    InputError
        If a path names nothing.
    """
    found: set[Place] = set()
    for path in paths:
        if "://" in path and not path.startswith("file://"):
            found.update(_remote(path, tuple(suffixes)))
        else:
            found.update(Place(str(p)) for p in find_files([path.removeprefix("file://")], suffixes))
    return tuple(sorted(found))


def _remote(url: str, suffixes: tuple[str, ...]) -> list[Place]:
    if not any(c in url for c in "*[") and not url.endswith("/"):
        return [Place(url)]
    with remote_errors(lambda problem: f"got the path {url}, which cannot be listed ({problem}); correct it"):
        fs, path = fsspec.core.url_to_fs(url)
        names = fs.find(path) if url.endswith("/") else fs.glob(path)
    kept = [n for n in names if n.lower().endswith(suffixes or ("",))]
    if not kept:
        raise InputError(f"got the path {url}, where no file lies; correct it")
    return [Place(n if "://" in n else fs.unstrip_protocol(n)) for n in kept]


def join_path(folder: str, *parts: str) -> str:
    """Return a path or URL below a folder."""
    return "/".join([folder.rstrip("/"), *parts]) if "://" in folder else str(Path(folder, *parts))
