"""Damaging some files of a source, reading it in a process of its own, and telling what became of each of them."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import resource
import shutil
import tempfile
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from smdown.cubes import open_cube
from smdown.errors import InputError
from smdown.sources.quality import read_quality
from tests.sources.fabricate import ingest
from tests.sources.formats import FORMATS, context

MEMORY_BYTES = 4 * 2**30
"""What a reading process may take beyond what it begins with; a damaged size that asks for more is a crash."""
LIMIT_S = 120.0

ASIDE, EQUAL, DIFFERENT = "set aside", "equal", "different"


@dataclass(frozen=True)
class Reading:
    """What came of reading a source.

    Parameters
    ----------
    data : xarray.Dataset, optional
        What was written; None where the source was refused.
    set_aside : mapping
        Reason by file.
    error : str
        Why the source was refused.
    """

    data: xr.Dataset | None
    set_aside: Mapping[str, str]
    error: str = ""


def contents(url: str) -> xr.Dataset:
    """Return the values of a cube or table."""
    data = xr.open_zarr(url, chunks=None).drop_vars(["receipts", "spatial_ref"], errors="ignore").load()
    return data.drop_attrs()


def read(name: str, folder: Path, *, strict: bool = False) -> Reading:
    """Read all files of a folder, in this process."""
    where = context(folder.with_name("out"))
    where = type(where)(**(vars(where) | {"strict": strict}))
    shutil.rmtree(where.out, ignore_errors=True)
    try:
        _, url = ingest(FORMATS[name].config(str(folder)), where)
    except InputError as error:
        left = [p for p in Path(where.out).rglob("*") if p.is_file()] if Path(where.out).exists() else []
        assert not left, f"half-written: {left[:3]}"
        return Reading(None, {}, str(error))
    if url.endswith(".zarr") and FORMATS[name].gridded:
        assert open_cube(url).complete
    return Reading(contents(url), read_quality(url).set_aside)


def read_apart(name: str, folder: Path, *, strict: bool = False) -> Reading:
    """Read all files of a folder in a process of its own, which may neither crash, hang, nor take all memory.

    Raises
    ------
    AssertionError
        If it does any of that, or raises anything but an InputError.
    """
    pool = multiprocessing.get_context("forkserver")
    pool.set_forkserver_preload(["tests.sources.damage"])
    ours, theirs = pool.Pipe(duplex=False)
    process = pool.Process(target=_reader, args=(theirs, name, folder, strict))
    process.start()
    theirs.close()
    try:
        answer = ours.recv() if ours.poll(LIMIT_S) else f"no answer within {LIMIT_S:.0f} s"
    except EOFError:
        process.join()
        answer = f"the process ended with {process.exitcode}"
    finally:
        process.kill()
        process.join()
    assert isinstance(answer, Reading), f"{name}: {answer}"
    return answer


def _reader(pipe: Any, name: str, folder: Path, strict: bool) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, hard))
    try:
        pipe.send(read(name, folder, strict=strict))
    except BaseException:  # noqa: BLE001 - whatever it is, the test that waits has to hear of it
        pipe.send(traceback.format_exc())


# -- undamaged sources, made once --------------------------------------------------------------------------------------


@cache
def undamaged(name: str, total: int) -> tuple[Path, tuple[Path, ...], xr.Dataset]:
    """Return the folder of a source, its files that may be damaged (relative), and what they give undamaged."""
    home = Path(tempfile.mkdtemp(prefix="smdown-test-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    paths = tuple(FORMATS[name].write(home / "in", n).relative_to(home / "in") for n in range(total))
    whole = read(name, home / "in")
    assert whole.data is not None
    assert not whole.set_aside
    return home, paths, whole.data


Damage = Callable[[Path], Any]
"""Spoils the file at a path."""


def cut(length: int) -> Damage:
    """Return what cuts a file to a length."""
    return lambda path: os.truncate(path, length)


def flip(bit: float) -> Damage:
    """Return what turns one bit of a file round; its place is a share of the file."""

    def spoil(path: Path) -> None:
        content = bytearray(path.read_bytes())
        at = int(bit * len(content) * 8)
        content[at // 8] ^= 1 << (at % 8)
        path.write_bytes(bytes(content))

    return spoil


def fill(content: bytes) -> Damage:
    """Return what replaces all of a file."""
    return lambda path: path.write_bytes(content)


def damaged(name: str, folder: Path, total: int, damage: Mapping[int, Damage]) -> Path:
    """Return a copy of a source in which some files are damaged."""
    home, paths, _ = undamaged(name, total)
    shutil.copytree(home, folder, ignore=shutil.ignore_patterns("out"), dirs_exist_ok=True)
    for n, spoil in damage.items():
        spoil(folder / "in" / paths[n])
    return folder / "in"


# -- verdicts ----------------------------------------------------------------------------------------------------------


def same(a: xr.Dataset | None, b: xr.Dataset | None) -> bool:
    """Whether two pieces are equal bit for bit; a mosaic's coordinates but for their rounding."""
    if a is None or b is None:
        return a is b
    if set(a.variables) != set(b.variables) or a.sizes != b.sizes:
        return False
    if not all(np.allclose(a[v], b[v], rtol=1e-12, atol=0) for v in {"x", "y"} & set(a.variables)):
        return False
    names = set(a.variables) - {"x", "y"}
    return all(np.array_equal(a[v].values, b[v].values, equal_nan=a[v].dtype.kind == "f") for v in names)


def empty(piece: xr.Dataset | None) -> bool:
    """Whether nothing was read."""
    return piece is None or not any(np.isfinite(v.values).any() for v in piece.data_vars.values() if v.ndim)


def left(piece: xr.Dataset | None, wanted: xr.Dataset | None) -> bool:
    """Whether a piece holds values of its file; a few may be like those of a tile that damage moved there."""
    if piece is None or wanted is None or empty(piece):
        return False
    if piece.sizes != wanted.sizes:
        return True
    alike = [np.mean(piece[v].values == wanted[v].values) for v in wanted.data_vars if wanted[v].ndim]
    return max(alike) > 0.1


def verdicts(name: str, total: int, reading: Reading, numbers: Iterable[int]) -> dict[int, str]:
    """Return what became of each of some damaged files; all others must be as ever.

    Raises
    ------
    AssertionError
        If a file that was set aside left values, a reason is not one line, or a file that nobody damaged changed.
    """
    form = FORMATS[name]
    _, paths, truth = undamaged(name, total)
    assert reading.data is not None, reading.error
    aside = {Path(item).name: reason for item, reason in reading.set_aside.items()}
    out = {}
    for n in range(total):
        piece, wanted = form.piece(reading.data, n), form.piece(truth, n)
        equal = same(piece, wanted)
        if n not in numbers:
            assert equal, f"{paths[n]} was not damaged, and yet it changed"
            continue
        reason = next((aside[p] for p in form.siblings(paths[n].name) if p in aside), None)
        if reason is None:
            out[n] = EQUAL if equal else DIFFERENT
            continue
        assert not left(piece, wanted), f"{paths[n]} was set aside and left values"
        assert reason.startswith("got ")
        assert "\n" not in reason
        out[n] = ASIDE
    return out
