"""One granule over the web: streamed to a name of its own, checked, and renamed when all of it is there."""

from __future__ import annotations

import errno
import hashlib
import time
from pathlib import Path
from typing import Any

from smdown.errors import InputError, ResourceError
from smdown.sources.earthdata import Granule
from smdown.sources.places import remote_errors

TRIES = 4
_CHUNK_BYTES = 1 << 20
_TIMEOUT_S = (30.0, 60.0)
_PAUSE_S = 1.0
_ALGORITHMS = {"MD5": "md5", "SHA-1": "sha1", "SHA-256": "sha256", "SHA-384": "sha384", "SHA-512": "sha512"}


def is_whole(granule: Granule, folder: Path) -> bool:
    """Whether a file is in a folder, of the size that the archive states where it states the very size."""
    path = folder / granule.name
    return path.is_file() and (not granule.exact or path.stat().st_size == int(granule.size_bytes))


def download(granule: Granule, folder: Path, auth: Any) -> Path:
    """Download a file; it takes its name when all of it is there and agrees with size and checksum.

    Parameters
    ----------
    granule : Granule
        Which.
    folder : Path
        Where to.
    auth : earthaccess.Auth
        Whose session is used.

    Raises
    ------
    InputError
        If it does not come after four tries, or is not what the archive states.
    ResourceError
        If the disk is full.
    """
    path, part = folder / granule.name, folder / f"{granule.name}.part"
    try:
        with remote_errors(lambda problem: f"got {granule.url}, which cannot be fetched ({problem})"):
            _try(granule, part, auth)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    part.replace(path)
    return path


def _try(granule: Granule, part: Path, auth: Any) -> None:
    for attempt in range(1, TRIES + 1):
        try:
            return _stream(granule, part, auth)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise ResourceError(f"no room for {granule.name} in {part.parent}; make room, or set --out") from error
            if attempt == TRIES:
                raise
        time.sleep(_PAUSE_S * attempt)
    return None


def _stream(granule: Granule, part: Path, auth: Any) -> None:
    algorithm = _ALGORITHMS.get(granule.checksum[0].upper()) if granule.checksum else None
    state = hashlib.new(algorithm, usedforsecurity=False) if algorithm else None
    with auth.get_session() as session, session.get(granule.url, stream=True, timeout=_TIMEOUT_S) as answer:
        _check_answer(granule, answer)
        with part.open("wb") as file:
            for chunk in answer.iter_content(_CHUNK_BYTES):
                file.write(chunk)
                if state is not None:
                    state.update(chunk)
    got, stated = part.stat().st_size, answer.headers.get("Content-Length")
    if stated is not None and "Content-Encoding" not in answer.headers and got != int(stated):
        raise OSError(f"{got} of {stated} bytes came")
    if granule.exact and got != int(granule.size_bytes):
        raise OSError(f"{got} of {int(granule.size_bytes)} bytes came")
    if state is not None and granule.checksum and state.hexdigest() != granule.checksum[1].lower():
        raise OSError(f"its {granule.checksum[0]} is not the archive's")


def _check_answer(granule: Granule, answer: Any) -> None:
    """Raise InputError for an answer that another try will not better, OSError for one that it may."""
    if answer.status_code in (401, 403):
        raise InputError(
            f"got {granule.name}, which the archive refuses (HTTP {answer.status_code}); check the Earthdata login, "
            "and that it has authorised the archive's application"
        )
    if 400 <= answer.status_code < 500 and answer.status_code not in (408, 429):
        raise InputError(f"got {granule.url}, which the archive does not have (HTTP {answer.status_code})")
    if answer.status_code >= 400:
        raise OSError(f"HTTP {answer.status_code}")
    if "html" in answer.headers.get("Content-Type", ""):
        raise InputError(f"got {granule.name}, a web page (HTML) in its place; check the Earthdata login")
