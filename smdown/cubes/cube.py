"""Create, open, read and fill cubes.

A cube is created whole: group, arrays and coordinates first, its own identity last. Then each tile (one shard of every
variable and date) is written by exactly one task, which leaves a receipt when everything else is on disk.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from xarray.backends.zarr import FillValueCoder
from zarr.codecs import BloscCodec, Crc32cCodec

from smdown.cubes import layout, store
from smdown.cubes.layout import CubeSpec, Variable
from smdown.errors import CubeError, SmdownError
from smdown.grid import NestedGrid, RasterGrid, Window

RECEIPTS = "receipts"
_TIME_ATTRS: dict[str, Any] = {
    "standard_name": "time",
    "axis": "T",
    "units": "days since 1970-01-01",
    "calendar": "proleptic_gregorian",
}
_COMPRESSORS = (BloscCodec(cname="zstd", clevel=1, shuffle="shuffle"), Crc32cCodec())


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
        out = np.full((*self._lead_shape(lead), *window.shape), np.nan if variable.is_float else variable.fill)
        out = out.astype(np.float32 if variable.is_float else variable.dtype)
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


def create_cube(url: str, spec: CubeSpec, *, resume: bool = False, overwrite: bool = False) -> Cube:
    """Create an empty cube, or return the one that an interrupted run left.

    Parameters
    ----------
    url : str
        Local path or fsspec URL.
    spec : CubeSpec
        What to create.
    resume : bool
        Take up an existing cube if its fingerprint is the same.
    overwrite : bool
        Replace whatever is there.

    Raises
    ------
    CubeError
        If a cube is there and neither option allows it, or its fingerprint differs.
    """
    if overwrite:
        store.delete(url)
    if store.exists(url):
        found = _try_open(url)
        if found is not None:
            _check_resumable(found, spec, resume=resume)
            store.sweep_partials(url)
            return found
        store.delete(url)  # its identity is written last: this one was killed while being created
    _create_arrays(url, spec)
    return open_cube(url)


def _try_open(url: str) -> Cube | None:
    try:
        return open_cube(url)
    except CubeError:
        return None


def _check_resumable(found: Cube, spec: CubeSpec, *, resume: bool) -> None:
    if not resume:
        raise CubeError(f"{found.url} exists already; resume it, or remove it to start afresh")
    if found.spec.fingerprint != spec.fingerprint:
        raise CubeError(
            f"{found.url} was made with another configuration, input or bundle (fingerprint {found.spec.fingerprint}, "
            f"now {spec.fingerprint}){_difference(found.attrs, spec.attrs)}; "
            "restore them, choose another --workdir, or remove it"
        )


def _difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    names = [k for k in sorted({*old, *new}) if k != "history" and old.get(k) != new.get(k)]
    return f": {', '.join(f'{k} was {old.get(k)!r}, is {new.get(k)!r}' for k in names[:3])}" if names else ""


def _create_arrays(url: str, spec: CubeSpec) -> None:
    group = zarr.open_group(store.zarr_store(url), mode="w", zarr_format=3)
    for variable in spec.variables:
        _create_variable(group, spec, variable)
    _create_coordinates(group, spec)
    group.create_array(
        RECEIPTS, shape=spec.tiles, chunks=(1, 1), dtype="uint8", fill_value=0, compressors=None,
        dimension_names=("tile_y", "tile_x"), attributes={"long_name": "1 where the tile is wholly written"},
    )  # fmt: skip
    group.update_attributes(_group_attrs(spec))
    _consolidate(url)


def _consolidate(url: str) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")
        zarr.consolidate_metadata(store.zarr_store(url))


def _create_variable(group: zarr.Group, spec: CubeSpec, variable: Variable) -> None:
    lead = (1,) if variable.timed else ()
    fill = variable.fill
    attrs = variable.cf_attrs()
    if variable.is_float:
        attrs["_FillValue"] = FillValueCoder.encode(np.dtype(variable.dtype).type(fill), np.dtype(variable.dtype))
    group.create_array(
        variable.name,
        shape=spec.shape(variable),
        chunks=(*lead, spec.chunk, spec.chunk),
        shards=(*lead, spec.shard, spec.shard),
        dtype=variable.dtype,
        fill_value=fill,
        compressors=_COMPRESSORS,
        dimension_names=variable.dims,
        attributes=attrs,
    )


def _create_coordinates(group: zarr.Group, spec: CubeSpec) -> None:
    raster = spec.raster
    axes = layout.axis_attrs(raster)
    for name, values in (("y", raster.y), ("x", raster.x)):
        array = group.create_array(
            name, shape=values.shape, chunks=values.shape, dtype="float64", dimension_names=(name,),
            fill_value=np.nan, attributes=axes[name],
        )  # fmt: skip
        array[...] = values
    mapping = group.create_array("spatial_ref", shape=(), dtype="int64", attributes=layout.grid_mapping(raster))
    mapping[...] = np.int64(0)
    if spec.times:
        days = np.array(spec.times, dtype="datetime64[D]").astype(np.int64)
        time = group.create_array(
            "time", shape=days.shape, chunks=days.shape, dtype="int64", dimension_names=("time",),
            attributes=_TIME_ATTRS,
        )  # fmt: skip
        time[...] = days


def _group_attrs(spec: CubeSpec) -> dict[str, Any]:
    raster = spec.raster
    own: dict[str, Any] = {
        "schema": layout.SCHEMA,
        "fingerprint": spec.fingerprint,
        "shard": spec.shard,
        "chunk": spec.chunk,
        "variables": [v.name for v in spec.variables],
        "raster": [raster.crs, raster.x0, raster.y0, raster.dx, raster.dy, raster.height, raster.width],
        "attrs": dict(spec.attrs),
    }
    if spec.nested is not None:
        own["nested"] = layout.nested_to_json(spec.nested)
    return {"Conventions": "CF-1.11", **{k: v for k, v in spec.attrs.items() if isinstance(v, str)}, "smdown": own}


def open_cube(url: str, *, complete: bool = False) -> Cube:
    """Open a cube.

    Parameters
    ----------
    url : str
        Local path or fsspec URL.
    complete : bool
        Refuse a cube with tiles that are not written yet.

    Raises
    ------
    CubeError
        If there is no cube, it is not one of ours, or it is not complete where that is asked for.
    """
    if not store.exists(url):
        raise CubeError(f"got {url}, where there is no cube; run the stage that makes it first")
    try:
        group = zarr.open_group(store.zarr_store(url, read_only=False), mode="r+", zarr_format=3)
        own: Any = dict(group.attrs)["smdown"]
        cube = Cube(url, group, _spec_from(group, own))
    except SmdownError:
        raise
    except Exception as error:
        raise CubeError(f"got {url}, which cannot be read as a cube ({error}); remove it and make it again") from error
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
