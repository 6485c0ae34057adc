"""Read and fill cubes.

Each tile (one shard of every variable and date) is written by exactly one task, which leaves a receipt when everything
else is on disk.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from smdown.cubes import shards, store
from smdown.cubes.codec import ShardCodec
from smdown.cubes.layout import CubeSpec, Variable
from smdown.errors import CubeError
from smdown.grid import NestedGrid, RasterGrid, Window

RECEIPTS = "receipts"
WRITE_ALL: Any = {"write_empty_chunks": True}
"""For coordinates: Zarr leaves out what is all fill and reads what is lost as fill; here every object is written."""


class Cube:
    """An open cube.

    Reading returns float32 with NaN for missing (flags and classes as they are), for any window, even one that
    reaches beyond the raster. Writing takes whole shards only.
    """

    def __init__(self, url: str, group: zarr.Group, spec: CubeSpec, batches: tuple[int, ...], layout: int) -> None:
        self.url = url
        self.spec = spec
        self.batches = batches
        self.layout = layout
        self.variables: dict[str, Variable] = {v.name: v for v in spec.variables}
        self.times: npt.NDArray[np.datetime64] = np.array(spec.times, dtype="datetime64[ns]")
        self._group = group
        self._arrays: dict[str, zarr.Array[Any]] = {}
        self._codecs: dict[str, ShardCodec] = {}
        self._written: set[str] = set()

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        from smdown.cubes.opening import open_cube

        return open_cube, (self.url,)

    def __repr__(self) -> str:
        height, width = self.raster.shape
        return f"<Cube {self.url}: {height} x {width} px, {len(self.times)} times, {', '.join(self.variables)}>"

    @property
    def raster(self) -> RasterGrid:
        """Its pixels."""
        return self.spec.raster

    @property
    def nested(self) -> NestedGrid | None:
        """The nested grid that it lies on, if any."""
        return self.spec.nested

    @property
    def attrs(self) -> Mapping[str, Any]:
        """Provenance and other group attributes."""
        return self.spec.attrs

    def array(self, name: str) -> zarr.Array[Any]:
        """Return the Zarr array of a variable, as it stands on disk."""
        if name not in self._arrays:
            array = self._group.get(name)
            if not isinstance(array, zarr.Array):
                raise CubeError(f"{self.url} has no variable {name!r}; it has {', '.join(self.variables)}")
            self._arrays[name] = array
        return self._arrays[name]

    def read(self, name: str, window: Window, time: int | slice | None = None) -> npt.NDArray[Any]:
        """Read a window, NaN (or 0 for flags) outside the raster.

        Parameters
        ----------
        name : str
            Variable.
        window : Window
            Rows and columns, counted from the cube's first pixel; may reach outside.
        time : int or slice, optional
            Position on the time axis; all of it by default. Ignored where the variable has no time axis.

        Returns
        -------
        ndarray
            ``(y, x)`` or ``(time, y, x)``, float32 with NaN for missing, or the flags as they are.
        """
        variable = self._variable(name)
        lead: tuple[int | slice, ...] = (slice(None) if time is None else time,) if variable.timed else ()
        inside = window.intersect(self.raster.window)
        if inside is None:
            return variable.empty((*self._lead_shape(lead), *window.shape))
        part = variable.unpack(self._raw(variable, lead, inside))
        if inside == window:
            return part
        out = variable.empty((*part.shape[:-2], *window.shape))
        out[(..., *inside.relative_to(window).slices)] = part
        return out

    def _variable(self, name: str) -> Variable:
        if name not in self.variables:
            raise CubeError(f"{self.url} has no variable {name!r}; it has {', '.join(self.variables)}")
        return self.variables[name]

    def _lead_shape(self, lead: tuple[int | slice, ...]) -> tuple[int, ...]:
        return tuple(len(range(*s.indices(len(self.times)))) for s in lead if isinstance(s, slice))

    def _raw(self, variable: Variable, lead: tuple[int | slice, ...], window: Window) -> npt.NDArray[Any]:
        """Return a window as it stands on disk; what is damaged or lost is an error, what is not written yet is not."""
        days = np.arange(len(self.times))[lead] if lead else np.zeros((), int)
        raw = np.full((*days.shape, *window.shape), variable.fill, dtype=variable.dtype)
        planes = zip(raw.reshape(-1, *window.shape), days.ravel().tolist(), strict=True)
        jobs = [(plane, day, *place) for plane, day in planes for place in shards.split(window, self.spec.shard)]
        store.each(self.url, lambda job: self._fill(variable, window, *job), jobs)
        return raw

    def _fill(
        self, variable: Variable, window: Window, plane: npt.NDArray[Any], day: int, tile: tuple[int, int], part: Window
    ) -> None:
        """Read that part of a window which lies in one shard."""
        key, side = shards.key(variable, day, tile), self.spec.shard
        place = part.shift(window.y0 - tile[0] * side, window.x0 - tile[1] * side)
        try:
            found = self._codec(variable.name).read(store.join(self.url, key), place, plane[part.slices])
        except CubeError as error:
            raise CubeError(f"got {self.url} with damage in {key} ({error}); see: smdown verify {self.url}") from error
        if not found and self.layout > 1 and self.has_receipt(tile, self.batch_of(variable, day)):
            raise CubeError(f"got {self.url}, where {key} of a finished tile is lost; see: smdown verify {self.url}")

    def _codec(self, name: str) -> ShardCodec:
        if name not in self._codecs:
            self._codecs[name] = ShardCodec.of(self.array(name).metadata.to_dict())
        return self._codecs[name]

    def has_receipt(self, tile: tuple[int, int], batch: int) -> bool:
        """Return whether a tile is wholly written for one batch of days."""
        return store.get(store.join(self.url, RECEIPTS, "c", *map(str, (*tile, batch)))) == b"\x01"

    def batch_of(self, variable: Variable, day: int) -> int:
        """Return the batch that a day was added with; what has no time axis came with the first."""
        return int(np.searchsorted(np.cumsum(self.batches), day, side="right")) if variable.timed else 0

    def write(self, name: str, values: npt.NDArray[Any], window: Window, time: int | None = None) -> int:
        """Write whole shards of a variable.

        Parameters
        ----------
        name : str
            Variable.
        values : ndarray
            ``(y, x)`` physical values, NaN for missing.
        window : Window
            Where, counted from the cube's first pixel: from one shard's edge to another's, or to the raster's.
        time : int, optional
            Position on the time axis, where there is one.

        Returns
        -------
        int
            CRC-32 of the packed bytes.

        Raises
        ------
        CubeError
            If the window would share a shard with another writer; nothing has been written then.
        """
        variable = self._variable(name)
        shards.check_aligned(self.spec, window)
        if values.shape != window.shape:
            raise CubeError(f"got an array of shape {values.shape} for a window of shape {window.shape} in {name}")
        if variable.timed and time is None:
            raise CubeError(f"got no time for {name}, which has a time axis; give the position of the day")
        packed = variable.pack(values)
        for tile, part in shards.split(window, self.spec.shard):
            data = self._codec(name).encode(packed[part.slices], variable.fill)
            key = shards.key(variable, time or 0, tile)
            store.put(store.join(self.url, key), data)
            self._written.add(key)
        return zlib.crc32(packed.data)

    def commit(self, row: int, col: int, batch: int | None = None) -> None:
        """Record that the tile is wholly written, for one batch of days or for all; call it last.

        What was left out is written as missing first, so that an object which is not there later has been lost.
        """
        self._fill_up((row, col), batch)
        which = () if self.layout == 1 else (slice(None) if batch is None else batch,)
        self.array(RECEIPTS)[(row, col, *which)] = 1

    def _fill_up(self, tile: tuple[int, int], batch: int | None = None) -> None:
        for variable in self.variables.values():
            nothing = self._codec(variable.name).encode(np.zeros((0, 0), dtype=variable.dtype), variable.fill)
            for day in range(len(self.times) if variable.timed else 1):
                key = shards.key(variable, day, tile)
                if (batch is None or self.batch_of(variable, day) == batch) and key not in self._written:
                    url = store.join(self.url, key)
                    if not store.exists(url):
                        store.put(url, nothing)

    def done(self, batch: int | None = None) -> set[tuple[int, int]]:
        """Return the tiles (row, column) that have their receipt for one batch of days, or for all."""
        return {(int(r), int(c)) for r, c in np.argwhere(self.written(batch))}

    def written(self, batch: int | None = None) -> npt.NDArray[np.bool_]:
        """Return which tiles (row, column) have their receipt for one batch of days, or for all.

        Objects that are there are read, not all that there could be: a cube of a continent has hundreds of thousands.
        """
        batches = 1 if self.layout == 1 else len(self.batches)
        receipts = np.zeros((*self.spec.tiles, batches), dtype=bool)
        for key, data in store.contents(store.join(self.url, RECEIPTS, "c")).items():
            if len(data) != 1:
                raise CubeError(f"got {self.url} with damaged receipts; try: smdown verify --repair {self.url}")
            place = tuple(map(int, key.split("/"))) if key.replace("/", "").isdigit() else ()
            place = (*place, 0) if self.layout == 1 else place
            if len(place) == 3 and all(n < size for n, size in zip(place, receipts.shape, strict=True)):
                receipts[place] = data == b"\x01"
        return np.asarray(receipts.all(axis=-1) if batch is None else receipts[..., batch])

    def days_of(self, batch: int) -> range:
        """Return the positions of the days of a batch on the time axis."""
        first = sum(self.batches[:batch])
        return range(first, first + self.batches[batch])

    def finish(self) -> None:
        """Give every tile its receipt: for a cube that one task fills alone. What it left out is written as missing."""
        for tile in np.ndindex(self.spec.tiles):
            self._fill_up(tile)
        receipts = self.array(RECEIPTS)
        receipts[...] = np.ones(receipts.shape, dtype=np.uint8)

    @property
    def complete(self) -> bool:
        """Whether every tile has its receipt."""
        return bool(self.written().all())
