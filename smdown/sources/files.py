"""Finding input files, naming their state, and saying in one line why one cannot be read."""

from __future__ import annotations

import glob
import hashlib
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Protocol

from smdown.errors import InputError

_SAMPLES, _SAMPLE_BYTES = 16, 16384
_DATES = (
    (re.compile(r"(?<!\d)(\d{7})T\d{6}"), "%Y%j"),  # HLS
    (re.compile(r"(?<!\d)(\d{4}-?\d{2}-?\d{2})(?!\d)"), "%Y%m%d"),
    (re.compile(r"L[A-Z]\d{7}(\d{7})"), "%Y%j"),  # Landsat scene identifier
)


@dataclass(frozen=True)
class Item:
    """One file to read: on disk, or a member of a zip archive.

    Parameters
    ----------
    path : Path
        The file, or the archive.
    member : str, optional
        Name inside the archive.
    """

    path: Path
    member: str | None = None

    def __str__(self) -> str:
        return f"{self.path}!{self.member}" if self.member else str(self.path)

    @property
    def name(self) -> str:
        """File name without folders."""
        return PurePosixPath(self.member).name if self.member else self.path.name

    def read(self) -> bytes:
        """Return all of its bytes."""
        if self.member is None:
            return self.path.read_bytes()
        try:
            with zipfile.ZipFile(self.path) as archive:
                return archive.read(self.member)
        except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError, RuntimeError) as error:
            raise InputError(f"got {self}, which cannot be unpacked ({error}); download the archive again") from error


def find_files(paths: Sequence[str], suffixes: Sequence[str]) -> tuple[Path, ...]:
    """Return the files that paths, folders and patterns name, sorted, each once.

    Parameters
    ----------
    paths : sequence of str
        Files, folders (searched to the bottom) and glob patterns.
    suffixes : sequence of str
        Lower-case endings that count inside folders.

    Raises
    ------
    InputError
        If a path names nothing.
    """
    found: set[Path] = set()
    for path in paths:
        matches = list(_matches(path, tuple(suffixes)))
        if not matches:
            raise InputError(f"got the path {path}, {_why_nothing(path, suffixes)}")
        found.update(matches)
    return tuple(sorted(found))


def _matches(path: str, suffixes: tuple[str, ...]) -> Iterator[Path]:
    if "://" in path:
        raise InputError(f"got the path {path}; sources are read from local files; download it first")
    candidates = [Path(path)] if Path(path).exists() else [Path(p) for p in glob.glob(path, recursive=True)]  # noqa: PTH207
    for candidate in candidates:
        if candidate.is_dir():
            yield from (p for p in candidate.rglob("*") if p.is_file() and p.name.lower().endswith(suffixes))
        else:
            yield candidate


def _why_nothing(path: str, suffixes: Sequence[str]) -> str:
    if Path(path).is_dir():
        return f"a folder with no {' or '.join(suffixes)} file in it; name the folder that holds the data"
    if glob.has_magic(path):
        return "a pattern that no file matches; correct it, or the inputs folder"
    return "which does not exist; correct it, or the inputs folder"


def list_items(paths: Sequence[Path], suffixes: Sequence[str]) -> tuple[Item, ...]:
    """Return the files, with zip archives replaced by their members that end in one of `suffixes`."""
    items: list[Item] = []
    for path in paths:
        if path.suffix.lower() != ".zip":
            items.append(Item(path))
            continue
        members = [n for n in safe_members(path) if n.lower().endswith(tuple(suffixes))]
        if not members:
            raise InputError(f"got {path}, which holds no {' or '.join(suffixes)} file; name the right archive")
        items += [Item(path, name) for name in sorted(members)]
    return tuple(items)


def safe_members(path: Path) -> list[str]:
    """Return the names in a zip archive, refusing one with names that lead outside.

    Raises
    ------
    InputError
        If the file is not a zip archive, or a name is absolute or climbs (``..``).
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError) as error:
        raise InputError(f"got {path}, {why_unreadable(path, 'zip', error)}; download it again") from error
    for name in names:
        parts = PurePosixPath(name.replace("\\", "/"))
        if parts.is_absolute() or ".." in parts.parts or re.match(r"[A-Za-z]:", name):
            raise InputError(f"got {path}, an archive whose member {name!r} would be unpacked elsewhere; do not use it")
    return [n for n in names if not n.endswith("/")]


def why_unreadable(path: Path, wanted: str, error: BaseException | None = None) -> str:
    """Say in a few words what an unreadable file is instead of `wanted`."""
    try:
        with path.open("rb") as stream:
            head = stream.read(512)
    except OSError as problem:
        return f"which cannot be opened ({problem.strerror})"
    return why_bad_bytes(head, wanted, error)


def why_bad_bytes(head: bytes, wanted: str, error: BaseException | None = None) -> str:
    """Say in a few words what bytes are that `wanted` could not be read from."""
    if not head:
        return f"an empty file where {wanted} was wanted"
    if head.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html")):
        return f"a web page (HTML) where {wanted} was wanted, perhaps a failed login"
    detail = " ".join(str(error).split())[:160] if error is not None and str(error) else "unknown content"
    return f"which cannot be read as {wanted} ({detail})"


class Named(Protocol):
    """Anything with a file name."""

    @property
    def name(self) -> str:
        """File name without folders."""
        ...


def date_of(item: Named, pattern: str | None, fmt: str) -> str:
    """Return the ISO day in a file's name.

    Raises
    ------
    InputError
        If the name holds none.
    """
    rules = ((re.compile(pattern), fmt),) if pattern else _DATES
    for regex, form in rules:
        for match in regex.finditer(item.name):
            text = match[1].replace("-", "") if not pattern else match[1]
            try:
                return datetime.strptime(text, form).date().isoformat()
            except ValueError:
                continue
    raise InputError(f"got {item}, whose name holds no date; set date_pattern and date_format")


def digest(path: Path) -> str:
    """Return a digest of 16 blocks of 16 KiB spread over a file; of all of it below 256 KiB."""
    size, state = path.stat().st_size, hashlib.blake2b(digest_size=8)
    with path.open("rb") as stream:
        if size <= _SAMPLES * _SAMPLE_BYTES:
            for block in iter(partial(stream.read, 1 << 18), b""):
                state.update(block)
            return state.hexdigest()
        for n in range(_SAMPLES):
            stream.seek((size - _SAMPLE_BYTES) * n // (_SAMPLES - 1))
            state.update(stream.read(_SAMPLE_BYTES))
    return state.hexdigest()
