"""Files wherever they lie: local ones and any fsspec URL; finding them, their version, rasters opened through GDAL."""

from __future__ import annotations

import glob
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

from smdown.errors import InputError, SmdownError
from smdown.sources.files import READING_ERRORS, digest, find_files, why_bad_bytes, why_unreadable

_HTTP = ("http://", "https://")
_OPENER_LOCK = threading.Lock()
_HTTP_OPTIONS = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_HTTP_MAX_RETRY": 4, "GDAL_HTTP_RETRY_DELAY": 0.5}
_SILENCE_S = 60.0
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
    except SmdownError:
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
            if not (is_remote_error(error) or isinstance(error, READING_ERRORS)):
                raise
            raise InputError(f"got {self}, {self.why('a raster', error)}; download it again") from error

    def _opened(self) -> Any:
        if not self.remote or self.url.startswith(_HTTP):
            return rasterio.open(self.url)
        fs, path = filesystem(self.url)
        with _OPENER_LOCK:
            return rasterio.open(path, opener=fs)

    def why(self, wanted: str, error: BaseException | None = None) -> str:
        """Say in a few words what the file is instead of `wanted`, which could not be read from it."""
        if not self.remote:
            return why_unreadable(Path(self.url), wanted, error)
        try:
            with remote_errors(lambda problem: f"which cannot be fetched ({problem})"):
                fs, path = filesystem(self.url)
                return why_bad_bytes(fs.cat_file(path, start=0, end=512), wanted, error)
        except InputError as problem:
            return str(problem)

    def version(self, *, listed: bool = False) -> tuple[int, str]:
        """Return size (0 if unknown) and what the store of a remote file says of its version; errors are fsspec's.

        What a listing said a moment ago counts where `listed`.
        """
        fs, path = filesystem(self.url)
        if not listed:
            fs.invalidate_cache(path)
        info = fs.info(path)
        return int(info.get("size") or 0), str(next((info[k] for k in _STAMPS if info.get(k)), ""))

    def identity(self) -> tuple[str, int, str]:
        """Return name, size, and a digest of samples; of a remote file what its store says of its version.

        Raises
        ------
        InputError
            If a store does not answer. A remote file that is not there is of the version "missing".
        """
        if not self.remote:
            path = Path(self.url)
            try:
                return path.name, path.stat().st_size, digest(path)
            except OSError as error:  # whoever reads it says so
                return path.name, 0, type(error).__name__
        with remote_errors(lambda problem: f"got {self}, which cannot be fetched ({problem}); correct the path"):
            try:
                return self.name, *self.version(listed=True)
            except FileNotFoundError:
                return self.name, 0, "missing"


def filesystem(url: str) -> tuple[Any, str]:
    """Return the file system of a URL and the path in it; over the web a transfer may take as long as data come."""
    if not url.startswith(_HTTP):
        return fsspec.core.url_to_fs(url)
    try:
        import aiohttp
    except ImportError as error:
        raise InputError(f"got {url.split('?', maxsplit=1)[0]}, which needs aiohttp; install smdown[http]") from error
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_SILENCE_S, sock_read=_SILENCE_S)
    return fsspec.core.url_to_fs(url, client_kwargs={"timeout": timeout})


def find_places(paths: Sequence[str], suffixes: Sequence[str]) -> tuple[Place, ...]:
    """Return the files that paths, folders, patterns and URLs name, sorted, each once.

    Parameters
    ----------
    paths : sequence of str
        As :func:`find_files`; a URL may name a file, a folder (on the web with ``/`` at its end), or hold ``*``.
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
    with remote_errors(lambda problem: f"got the path {url}, which cannot be listed ({problem}); correct it"):
        fs, path = filesystem(url)
        fs.invalidate_cache()
        if any(c in url for c in "*["):
            names = fs.glob(path)
        elif url.endswith("/") or _is_folder(fs, path, url, suffixes):
            names = fs.find(path)
        else:
            return [Place(url)]
    kept = [n for n in names if n.lower().endswith(suffixes or ("",))]
    if not kept:
        raise InputError(f"got the path {url}, where no file lies; correct it")
    return [Place(n if "://" in n else fs.unstrip_protocol(n)) for n in kept]


def _is_folder(fs: Any, path: str, url: str, suffixes: tuple[str, ...]) -> bool:
    """Whether a path that does not say so is a folder; the web knows none."""
    return not (url.startswith(_HTTP) or url.lower().endswith(suffixes or ("",))) and bool(fs.isdir(path))


def join_path(folder: str, *parts: str) -> str:
    """Return a path, pattern or URL below a folder, whose own name is no pattern where there is such a folder."""
    if "://" in folder:
        return "/".join([folder.rstrip("/"), *parts])
    literal = glob.has_magic(folder) and Path(folder).exists() and any(map(glob.has_magic, parts))
    return str(Path(glob.escape(folder) if literal else folder, *parts))
