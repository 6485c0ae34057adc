"""Open, read and fill cubes.

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

from smdown.cubes import layout, store
from smdown.cubes.layout import CubeSpec, Variable
from smdown.errors import CubeError, SmdownError
from smdown.grid import NestedGrid, RasterGrid, Window

RECEIPTS = "receipts"


class Cube:
    """An open cube.

    Reading returns float32 with NaN for missing (flags and classes as they are), for any window, even one that
    reaches beyond the raster. Writing takes whole shards only.
    """

    def __init__(self, url: str, group: zarr.Group, spec: CubeSpec) -> None:
        self.url = url
        self.spec = spec
        self.variables: dict[str, Variable] = {v.name: v for v in spec.variables}
        self.times: npt.NDArray[np.datetime64] = np.array(spec.times, dtype="datetime64[ns]")
        self._group = group
        self._arrays: dict[str, zarr.Array[Any]] = {}

    def __reduce__(self) -> tuple[Any, tuple[str]]:
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
        array = self.array(name)
        variable = self.variables[name]
        lead: tuple[int | slice, ...] = ((slice(None) if time is None else time),) if variable.timed else ()
        inside = window.intersect(self.raster.window)
        if inside == window:
            return variable.unpack(np.asarray(array[(*lead, *window.slices)]))
        out = variable.empty((*self._lead_shape(lead), *window.shape))
        if inside is not None:
            part = variable.unpack(np.asarray(array[(*lead, *inside.slices)]))
            out[(..., *inside.relative_to(window).slices)] = part
        return out

    def _lead_shape(self, lead: tuple[int | slice, ...]) -> tuple[int, ...]:
        return tuple(len(range(*s.indices(len(self.times)))) for s in lead if isinstance(s, slice))

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
        variable = self.variables.get(name)
        if variable is None:
            raise CubeError(f"{self.url} has no variable {name!r}; it has {', '.join(self.variables)}")
        check_aligned(self.spec, window)
        if values.shape != window.shape:
            raise CubeError(f"got an array of shape {values.shape} for a window of shape {window.shape} in {name}")
        if variable.timed and time is None:
            raise CubeError(f"got no time for {name}, which has a time axis; give the position of the day")
        packed = variable.pack(values)
        lead = (time,) if variable.timed else ()
        self.array(name)[(*lead, *window.slices)] = packed
        return zlib.crc32(packed.tobytes())

    def commit(self, row: int, col: int) -> None:
        """Record that the tile is wholly written; call it last."""
        self.array(RECEIPTS)[row, col] = 1

    def done(self) -> set[tuple[int, int]]:
        """Return the tiles (row, column) that have their receipt."""
        receipts = np.asarray(self.array(RECEIPTS)[...])
        return {(int(r), int(c)) for r, c in np.argwhere(receipts == 1)}

    def finish(self) -> None:
        """Give every tile its receipt: for a cube that one task fills alone."""
        self.array(RECEIPTS)[...] = np.ones(self.spec.tiles, dtype=np.uint8)

    @property
    def complete(self) -> bool:
        """Whether every tile has its receipt."""
        rows, cols = self.spec.tiles
        return len(self.done()) == rows * cols


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


def open_cube(url: str, *, complete: bool = False) -> Cube:
    """Open a cube.

    Parameters
    ----------
    url : str
        Local path or fsspec URL.
    complete : bool
        Refuse a cube with tiles that are not written yet.

    Returns
    -------
    Cube
        Open for reading and writing.

    Raises
    ------
    CubeError
        If there is no cube, it is not one of ours, or it is not complete where that is asked for.
    """
    if not store.exists(url):
        raise CubeError(f"got {url}, where there is no cube; run the stage that makes it first")
    try:
        group = zarr.open_group(store.zarr_store(url, read_only=False), mode="r+", zarr_format=3)
        own: Any = group.attrs.get("smdown")
        cube = None if own is None else Cube(url, group, _spec_from(group, own))
    except SmdownError:
        raise
    except Exception as error:
        problem = " ".join(str(error).split())
        raise CubeError(f"got {url}, which cannot be read as a cube ({problem}); remove it, make it again") from error
    if cube is None:
        raise CubeError(f"got {url}, which is not a finished cube of ours; run the stage that makes it, or remove it")
    if complete and not cube.complete:
        raise CubeError(f"got {url}, which is not finished; run the stage that makes it again")
    return cube


def _spec_from(group: zarr.Group, own: Mapping[str, Any]) -> CubeSpec:
    arrays = dict(group.arrays())
    time = np.asarray(arrays["time"][...]) if "time" in arrays else np.zeros(0, dtype=np.int64)
    times = tuple(str(d) for d in time.astype("datetime64[D]"))
    return CubeSpec(
        RasterGrid(*own["raster"]),
        tuple(_variable_from(name, arrays[name], dict(arrays[name].attrs)) for name in own["variables"]),
        times,
        own["shard"],
        own["chunk"],
        own["fingerprint"],
        own["attrs"],
        layout.nested_from_json(own["nested"]) if "nested" in own else None,
    )


def _variable_from(name: str, array: zarr.Array[Any], attrs: dict[str, Any]) -> Variable:
    known = ("grid_mapping", "units", "long_name", "standard_name", "scale_factor", "add_offset",
             "smdown_valid_range", "smdown_resampling", "_FillValue", "coordinates")  # fmt: skip
    limits = attrs.get("smdown_valid_range")
    return Variable(
        name,
        layout.TIME_Y_X if array.ndim == 3 else layout.Y_X,
        str(array.dtype),
        attrs.get("scale_factor"),
        attrs.get("units", ""),
        attrs.get("long_name", ""),
        attrs.get("standard_name", ""),
        (limits[0], limits[1]) if limits else None,
        attrs.get("smdown_resampling", ""),
        {k: v for k, v in attrs.items() if k not in known},
    )
