"""Checking the checksums of compressed GeoTIFF blocks, at which GDAL looks only where a block unpacks to its length."""

from __future__ import annotations

import zlib
from functools import lru_cache
from pathlib import Path
from typing import Any

from smdown.errors import InputError
from smdown.grid import Window

_UNPACKED = 1 << 20


def check_blocks(file: Any, path: Path, band: int, window: Window) -> None:
    """Check the blocks of a local deflated GeoTIFF that a window meets; other files carry no checksums.

    Parameters
    ----------
    file : rasterio.DatasetReader
        The open file.
    path : Path
        Where it lies.
    band : int
        Counted from 1.
    window : Window
        Pixels, as the file stores them.

    Raises
    ------
    InputError
        If a block is not what was written.
    """
    if file.driver not in ("GTiff", "COG") or file.tags(ns="IMAGE_STRUCTURE").get("COMPRESSION") != "DEFLATE":
        return
    height, width = file.block_shapes[band - 1]
    state = path.stat()
    for y in range(window.y0 // height, -(-window.y1 // height)):
        for x in range(window.x0 // width, -(-window.x1 // width)):
            place, size = (file.get_tag_item(f"BLOCK_{k}_{x}_{y}", "TIFF", bidx=band) for k in ("OFFSET", "SIZE"))
            if place is None or size is None:  # a sparse block has none
                continue
            if not _is_whole(path, (state.st_mtime_ns, state.st_size), int(place), int(size)):
                raise InputError(f"got {path}, whose block {y}, {x} fails its checksum; download it again")


@lru_cache(maxsize=1 << 16)
def _is_whole(path: Path, state: tuple[int, int], place: int, size: int) -> bool:  # noqa: ARG001 - of one state of a file
    """Whether a stream of deflate ends, and its checksum is that of its content; windows share blocks."""
    with path.open("rb") as stream:
        stream.seek(place)
        packed = stream.read(size)
    unpacker = zlib.decompressobj()
    try:
        while packed and not unpacker.eof:
            unpacker.decompress(packed, _UNPACKED)
            packed = unpacker.unconsumed_tail
    except zlib.error:
        return False
    return unpacker.eof
