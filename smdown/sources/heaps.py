"""Damaged heaps of an HDF5 file, in which its library can loop for ever: found before it reads them.

A heap (format specification, III.E) holds what is of variable length, so also which axes a NetCDF variable has. It
carries no checksum. Of long files the ends alone are looked at: heaps are written when variables are made.
"""

from __future__ import annotations

import struct
from pathlib import Path

_WHOLE_BYTES, _END_BYTES = 1 << 26, 1 << 23
_SIGNATURE = b"GCOL\x01\x00\x00\x00"
_HEADER, _OBJECT = struct.Struct("<8sQ"), struct.Struct("<HHIQ")


def check_heaps(path: Path) -> None:
    """Check the heaps of a file.

    Raises
    ------
    ValueError
        If one's objects do not follow each other to its end.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        if size <= _WHOLE_BYTES:
            check_bytes(stream.read())
            return
        check_bytes(stream.read(_END_BYTES))
        stream.seek(size - _END_BYTES)
        check_bytes(stream.read())


def check_bytes(content: bytes) -> None:
    """Check the heaps that lie whole within some bytes; errors as :func:`check_heaps`."""
    at = content.find(_SIGNATURE)
    while at >= 0:
        _check_heap(content, at)
        at = content.find(_SIGNATURE, at + 1)


def _check_heap(content: bytes, start: int) -> None:
    if start + _HEADER.size > len(content):
        return
    _, size = _HEADER.unpack_from(content, start)
    place, end = start + _HEADER.size, start + size
    if end > len(content):
        return
    while place + _OBJECT.size <= end:
        index, _, _, length = _OBJECT.unpack_from(content, place)
        if index == 0:  # free space to the end, its own header counted in
            if length != end - place:
                raise ValueError("its heap is damaged")
            return
        place += _OBJECT.size + -(-length // 8) * 8
    if place > end:
        raise ValueError("its heap is damaged")
