"""Ways to damage what is on disk, as a full disk, a dying machine or a bad cable would."""

from __future__ import annotations

import os
from pathlib import Path


def data_objects(cube: str | Path, variable: str) -> list[Path]:
    """Return the data objects (shards) of a variable in a local cube, in order of their names."""
    return sorted(p for p in (Path(cube) / variable / "c").rglob("*") if p.is_file())


def truncate(path: str | Path, fraction: float) -> int:
    """Cut a file to a part of its length.

    Parameters
    ----------
    path : path-like
        The file.
    fraction : float
        How much of it stays, from 0 (nothing) to below 1.

    Returns
    -------
    int
        Bytes that are left.
    """
    keep = int(Path(path).stat().st_size * fraction)
    os.truncate(path, keep)
    return keep


def flip_bit(path: str | Path, position: float, bit: int = 0) -> int:
    """Flip one bit of a file.

    Parameters
    ----------
    path : path-like
        The file.
    position : float
        Where, from 0 (first byte) to below 1.
    bit : int
        Which bit of that byte, 0 to 7.

    Returns
    -------
    int
        Offset of the byte that changed.
    """
    data = bytearray(Path(path).read_bytes())
    offset = int(len(data) * position)
    data[offset] ^= 1 << bit
    Path(path).write_bytes(bytes(data))
    return offset
