"""Finding input files, naming their state, and saying in one line why one cannot be read."""

from __future__ import annotations

import glob
import hashlib
import lzma
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Protocol

from smdown.errors import InputError

READING_ERRORS = (
    *(OSError, RuntimeError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, EOFError),
    *(AssertionError, BufferError, struct.error, zlib.error, lzma.LZMAError),
)
"""What libraries raise when they meet a damaged file: whatever their parsing stumbles on, but for want of memory."""
_SAMPLES, _SAMPLE_BYTES = 16, 16384
_DATES = (
    (re.compile(r"(?<!\d)(\d{7})T\d{6}"), "%Y%j"),  # HLS
    (re.compile(r"(?<!\d)(\d{4}-?\d{2}-?\d{2})(?!\d)"), "%Y%m%d"),
    (re.compile(r"L[A-Z]\d{7}(\d{7})"), "%Y%j"),  # Landsat scene identifier
)


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
    candidates = [Path(path)] if Path(path).exists() else [Path(p) for p in glob.glob(path, recursive=True)]  # noqa: PTH207
    for candidate in candidates:
        if candidate.is_dir():
            yield from (p for p in candidate.rglob("*") if p.name.lower().endswith(suffixes) and _is_file(p))
        else:
            yield candidate


def _is_file(path: Path) -> bool:
    """Whether a path is a file, or a link that leads nowhere, which its reader has to say."""
    return path.is_file() or (path.is_symlink() and not path.is_dir())


def _why_nothing(path: str, suffixes: Sequence[str]) -> str:
    if Path(path).is_dir():
        return f"a folder with no {' or '.join(suffixes)} file in it; name the folder that holds the data"
    if glob.has_magic(path):
        return "a pattern that no file matches; correct it, or the inputs folder"
    return "which does not exist; correct it, or the inputs folder"


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
