"""Find what is missing, truncated or changed in a cube: metadata by its manifest, data by receipts and checksums."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice, product
from typing import Any

import numpy as np
import zarr

from smdown.cubes import manifest, shards, store
from smdown.cubes.cube import RECEIPTS, Cube
from smdown.cubes.opening import open_cube
from smdown.errors import CubeError

Tell = Callable[[int, int], None]
RECEIPTS_DOCUMENT = f"{RECEIPTS}/{manifest.ROOT}"
_AT_ONCE = 8
_COORDINATES = ("time", "y", "x", "spatial_ref")


@dataclass(frozen=True)
class Fault:
    """One damaged object.

    Parameters
    ----------
    key : str
        Which, within the cube.
    problem : str
        What is wrong with it.
    tile : tuple of int, optional
        Row, column and batch of the tile that has to be made again, where it is one.
    """

    key: str
    problem: str
    tile: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class Verdict:
    """What :func:`verify` found.

    Parameters
    ----------
    url : str
        The cube.
    faults : tuple of Fault
        Nothing if it is sound.
    objects, size : int
        Data objects that were read, and their bytes.
    tiles : tuple of int
        Finished tiles, all tiles.
    """

    url: str
    faults: tuple[Fault, ...]
    objects: int = 0
    size: int = 0
    tiles: tuple[int, int] = (0, 0)

    @property
    def lines(self) -> list[str]:
        """One line a fault, or one that says what was checked."""
        if self.faults:
            return [f"{store.join(self.url, f.key)}: {f.problem}" for f in self.faults]
        done, every = self.tiles
        tiles = f"{done} of {every} tiles, " if every else ""
        return [f"{self.url}: sound, {tiles}{self.objects} objects, {self.size / 1e6:.1f} MB"]


def verify(url: str, *, partial: bool = False, tell: Tell | None = None) -> Verdict:
    """Read every object of a cube, and say which are not what was written.

    Parameters
    ----------
    url : str
        Local path or fsspec URL.
    partial : bool
        Take a cube with tiles that are not written yet for sound.
    tell : callable, optional
        Hears how many data objects are read, and of how many.

    Returns
    -------
    Verdict
        Memory: at most sixteen shards at a time, as they lie on disk.

    Notes
    -----
    Found are objects that are lost, cut, changed in any bit or (metadata) exchanged. A data object that was replaced
    by another sound one of the same size is not.
    """
    faults, known = _metadata_faults(url)
    if known is None:
        return Verdict(url, tuple(faults))
    if RECEIPTS_DOCUMENT not in known:  # sealed whole, each object with its digest
        return Verdict(url, tuple(faults), len(known), sum(store.sizes(url).values()))
    coordinates = _coordinate_faults(url)
    faults += coordinates
    if any(f.key.startswith("time/") for f in coordinates):
        return Verdict(url, tuple(faults))
    try:
        cube = open_cube(url)
    except CubeError as error:
        return Verdict(url, (*faults, Fault(manifest.ROOT, str(error))))
    done, damaged = _receipts(cube)
    faults += damaged
    rows, cols = cube.spec.tiles
    every = rows * cols
    complete = int(done.all(axis=-1).sum())
    if complete < every and not partial and not damaged:
        faults.append(Fault(RECEIPTS, f"unfinished: {complete} of {every} tiles are written"))
    objects, size = 0, 0
    for fault, length in _checked(cube, done, tell):
        objects += length is not None
        size += length or 0
        faults += [fault] if fault else []
    return Verdict(url, tuple(faults), objects, size, (complete, every))


def _metadata_faults(url: str) -> tuple[list[Fault], manifest.State | None]:
    """Return faults of what the manifest knows, and its digests if they are good enough to look at the data."""
    root = store.get(store.join(url, manifest.ROOT))
    if root is None:
        return [Fault(manifest.ROOT, "missing: there is no cube, or it has lost its identity")], None
    try:
        known = manifest.read(url)
    except CubeError as error:
        return [Fault(manifest.KEY, f"truncated or flipped: {error}")], None
    if known is None:
        return [Fault(manifest.KEY, "missing: it is lost, or an earlier version made the cube")], None
    active = known.active(root)
    if active is None:
        return [Fault(manifest.ROOT, "truncated or flipped: its digest is not the one in the manifest")], None
    faults = []
    for key in sorted(active.keys() - {manifest.ROOT}):
        document = store.get(store.join(url, key))
        if document is None:
            faults.append(Fault(key, "missing"))
        elif not known.accepts(key, document, active):
            faults.append(Fault(key, "truncated or flipped: its digest is not the one in the manifest"))
    return faults, active


def _coordinate_faults(url: str) -> list[Fault]:
    """Return faults of the coordinates: each must be there whole, and each carries its checksum."""
    faults = []
    group = zarr.open_group(store.zarr_store(url, read_only=True), mode="r", zarr_format=3)
    for name, array in group.arrays():
        if name not in _COORDINATES:
            continue
        for place in product(*(range(-(-n // c)) for n, c in zip(array.shape, array.chunks, strict=True))):
            key = "/".join([name, "c", *map(str, place)])
            data = store.get(store.join(url, key))
            if data is None:
                faults.append(Fault(key, "missing"))
            elif wrong := shards.chunk_problem(data, int(np.prod(array.chunks)) * array.dtype.itemsize):
                faults.append(Fault(key, f"truncated or flipped: {wrong}"))
    return faults


def _receipts(cube: Cube) -> tuple[Any, list[Fault]]:
    """Return which tiles have a receipt ``(row, column, batch)``, and the receipts that are damaged."""
    done = np.zeros((*cube.spec.tiles, len(cube.batches)), dtype=bool)
    faults = []
    places = list(np.ndindex(done.shape))
    for place, data in _in_order(lambda p: store.get(_receipt(cube, p)), places):
        done[place] = data == b"\x01"
        if data not in {None, b"\x01"}:
            faults.append(Fault("/".join([RECEIPTS, "c", *map(str, place)]), "truncated or flipped", place))
    return done, faults


def _receipt(cube: Cube, place: tuple[int, ...]) -> str:
    return store.join(cube.url, RECEIPTS, "c", *map(str, place))


def _checked(cube: Cube, done: Any, tell: Tell | None) -> Iterator[tuple[Fault | None, int | None]]:
    """Yield a fault and the size (each or none) of every data object that is there or should be."""
    tiles = list(np.ndindex(cube.spec.tiles))
    days = {v.name: len(cube.times) if v.timed else 1 for v in cube.variables.values()}
    total, count = sum(days.values()) * len(tiles), 0
    for variable in cube.variables.values():
        chunk_bytes = cube.spec.chunk**2 * np.dtype(variable.dtype).itemsize
        chunks = shards.chunk_count(cube.spec.shard, cube.spec.chunk)

        def look(place: tuple[str, Any], bytes_: int = chunk_bytes, number: int = chunks) -> tuple[int | None, Any]:
            data = store.get(store.join(cube.url, place[0]))
            return (None, None) if data is None else (len(data), shards.problem(data, number, bytes_))

        places = (
            (shards.key(variable, day, tile), (*tile, cube.batch_of(variable, day)))
            for day in range(days[variable.name])
            for tile in tiles
        )
        for (key, tile), (size, wrong) in _in_order(look, places):
            count += 1
            if tell is not None:
                tell(count, total)
            lost = size is None and done[tile]
            problem = "missing, though its tile is finished" if lost else wrong
            yield Fault(key, problem, tile) if problem else None, size


def _in_order(function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    """Yield each item with its result, a few at a time, in order."""
    rest = iter(items)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        while batch := list(islice(rest, _AT_ONCE)):
            yield from zip(batch, pool.map(function, batch), strict=True)
