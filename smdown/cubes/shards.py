"""Shards as objects: their keys, the tiles of a window, and a check of their bytes without decoding them."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from numcodecs.checksum32 import CRC32C

from smdown.cubes.layout import CubeSpec, Variable
from smdown.errors import CubeError
from smdown.grid import Window

CRC_BYTES = 4
ABSENT = 2**64 - 1
_BLOSC_HEADER = 16


def key(variable: Variable, day: int, tile: tuple[int, int]) -> str:
    """Return the key of a shard within its cube."""
    lead = (day,) if variable.timed else ()
    return "/".join([variable.name, "c", *map(str, (*lead, *tile))])


def split(window: Window, shard: int) -> Iterator[tuple[tuple[int, int], Window]]:
    """Yield each tile (row, column) that a window meets, and which part of the window lies in it (from its corner)."""
    for row in range(window.y0 // shard, -(-window.y1 // shard)):
        for col in range(window.x0 // shard, -(-window.x1 // shard)):
            tile = Window(row * shard, (row + 1) * shard, col * shard, (col + 1) * shard)
            common = tile.intersect(window)
            assert common is not None
            yield (row, col), common.relative_to(window)


def problem(data: bytes, chunks: int, chunk_bytes: int) -> str | None:
    """Say what is wrong with the bytes of a shard, None if nothing is.

    The index at its end and every chunk carry a CRC-32C over their compressed bytes, so that a sound shard is known
    without decompressing it; the size that each chunk will have stands in its Blosc header.

    Parameters
    ----------
    data : bytes
        The whole object.
    chunks : int
        How many chunks it holds.
    chunk_bytes : int
        Size of each when decompressed.

    Notes
    -----
    Layout: Zarr v3 core, ``sharding_indexed`` with the index at the end, as `smdown.cubes.create` asks for it.
    """
    body, index = memoryview(data)[: -index_size(chunks)], memoryview(data)[-index_size(chunks) :]
    try:
        found = places(index, chunks)
    except CubeError as error:
        return str(error)
    found = found[found[:, 0] != ABSENT]
    if int(found[:, 1].sum()) != len(body):
        return f"its chunks fill {int(found[:, 1].sum())} of {len(body)} bytes"
    for number, (start, length) in enumerate(found.tolist()):
        wrong = chunk_problem(body[start : start + length], chunk_bytes)
        if wrong:
            return f"chunk {number}: {wrong}"
    return None


def index_size(chunks: int) -> int:
    """Return the bytes of a shard's index, its checksum included."""
    return 16 * chunks + CRC_BYTES


def places(index: bytes | memoryview, chunks: int) -> npt.NDArray[np.uint64]:
    """Return where each chunk of a shard begins and how long it is, ``(chunk, 2)``; :data:`ABSENT` if left out.

    Raises
    ------
    CubeError
        If the index is cut or its checksum does not fit.
    """
    if len(index) < index_size(chunks) or not _sound(index):
        raise CubeError("truncated or flipped: the checksum of its index does not fit")
    return np.frombuffer(index[:-CRC_BYTES], dtype="<u8").reshape(chunks, 2)


def seal(data: bytes) -> bytes:
    """Return bytes with their CRC-32C behind them."""
    return data + int(CRC32C.checksum(data)).to_bytes(CRC_BYTES, "little")


def chunk_problem(chunk: bytes | memoryview, chunk_bytes: int) -> str | None:
    """Say what is wrong with a chunk (Blosc, then CRC-32C), None if nothing is."""
    if len(chunk) < _BLOSC_HEADER + CRC_BYTES or not _sound(chunk):
        return "its checksum does not fit"
    decoded = int.from_bytes(chunk[4:8], "little")
    return None if decoded == chunk_bytes else f"it holds {decoded} bytes, {chunk_bytes} are due"


def _sound(data: bytes | memoryview) -> bool:
    """Whether the last four bytes are the CRC-32C of those before."""
    stored = int.from_bytes(data[-CRC_BYTES:], "little")
    return int(CRC32C.checksum(bytes(data[:-CRC_BYTES]))) == stored


def chunk_count(shard: int, chunk: int) -> int:
    """Return how many chunks a shard holds."""
    return math.ceil(shard / chunk) ** 2


def check_aligned(spec: CubeSpec, window: Window) -> None:
    """Raise CubeError unless the window is made of whole shards of the cube."""
    height, width = spec.raster.shape
    starts = window.y0 % spec.shard == 0 and window.x0 % spec.shard == 0
    ends = all(stop == size or stop % spec.shard == 0 for stop, size in ((window.y1, height), (window.x1, width)))
    if not (starts and ends and spec.raster.window.contains(window)):
        raise CubeError(
            f"got a write of rows {window.y0}:{window.y1}, columns {window.x0}:{window.x1}, which is not made of whole "
            f"shards of {spec.shard} px within {height} x {width}; write whole shards, each from one task"
        )
