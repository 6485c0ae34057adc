"""What a cube is made of: variables, grid, shards, and the CF attributes that other tools read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from pyproj import CRS

from smdown.errors import CubeError
from smdown.grid import Lattice, NestedGrid, RasterGrid, Window

SCHEMA = 2
"""Version of the layout, kept in every cube. In layout 1 there was no manifest, no batches of days (receipts had two
dimensions), and shards that are all fill were left out; such cubes are read and resumed, not verified or lengthened."""

Y_X = ("y", "x")
TIME_Y_X = ("time", "y", "x")


@dataclass(frozen=True)
class Variable:
    """One array of a cube.

    Parameters
    ----------
    name : str
        Name in the cube.
    dims : tuple of str
        ``("y", "x")`` or ``("time", "y", "x")``.
    dtype : str
        Type on disk. With `scale`, values are packed into this integer type under CF attributes.
    scale : float, optional
        Physical value of one count.
    units, long_name, standard_name : str
        CF attributes; empty ones are left out.
    valid_range : tuple of float, optional
        Physical limits, in `units`.
    resampling : str
        How this variable likes to be resampled, where it cares.
    attrs : mapping
        Further attributes.
    """

    name: str
    dims: tuple[str, ...] = Y_X
    dtype: str = "float32"
    scale: float | None = None
    units: str = ""
    long_name: str = ""
    standard_name: str = ""
    valid_range: tuple[float, float] | None = None
    resampling: str = ""
    attrs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.dims not in (Y_X, TIME_Y_X):
            raise CubeError(f"got dimensions {self.dims} for {self.name}; use {Y_X} or {TIME_Y_X}")
        if self.scale is not None and np.dtype(self.dtype).kind not in "iu":
            raise CubeError(f"got a scale for {self.name} of type {self.dtype}; only integer types are packed")

    @property
    def timed(self) -> bool:
        """Whether it has a time axis."""
        return self.dims == TIME_Y_X

    @property
    def is_float(self) -> bool:
        """Whether it is read as float32 with NaN for missing."""
        return self.scale is not None or np.dtype(self.dtype).kind == "f"

    @property
    def fill(self) -> float | int:
        """Value on disk that stands for missing; 0 for flags and classes."""
        dtype = np.dtype(self.dtype)
        if dtype.kind == "f":
            return math.nan
        if self.scale is None:
            return 0
        info = np.iinfo(dtype)
        return int(info.min if dtype.kind == "i" else info.max)

    def pack(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the array as it stands on disk: rounded to whole counts, what is not finite as fill.

        Raises
        ------
        CubeError
            If a value is beyond what the integer type holds.
        """
        dtype = np.dtype(self.dtype)
        if self.scale is None:
            return np.ascontiguousarray(values, dtype=dtype)
        from smdown.kernels.packing import pack  # and Numba with it, which readers do not need

        info = np.iinfo(dtype)
        least, most = (info.min + 1, info.max) if dtype.kind == "i" else (info.min, info.max - 1)
        plain = np.ascontiguousarray(values)
        plain = plain if plain.dtype.kind == "f" else plain.astype(np.float64)
        packed = np.empty(plain.shape, dtype=dtype)
        if not pack(plain.reshape(-1), self.scale, float(least), float(most), int(self.fill), packed.reshape(-1)):
            raise CubeError(
                f"got values of {self.name} beyond what {self.dtype} with scale {self.scale} holds; "
                "mask fills before writing, or store it as float32"
            )
        return packed

    def unpack(self, raw: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return float32 with NaN for missing, or the array itself for flags and classes."""
        if self.scale is None:
            return raw.astype(np.float32, copy=False) if self.is_float else raw
        values = raw.astype(np.float32) * np.float32(self.scale)
        values[raw == self.fill] = np.nan
        return values

    def empty(self, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """Return an array of `shape` as it is read where nothing is: NaN, or 0 for flags and classes."""
        return np.full(shape, np.nan, np.float32) if self.is_float else np.full(shape, self.fill, self.dtype)

    def cf_attrs(self) -> dict[str, Any]:
        """Return the attributes that CF readers need, the fill value apart."""
        attrs: dict[str, Any] = {"grid_mapping": "spatial_ref", "coordinates": "spatial_ref"}
        for key in ("units", "long_name", "standard_name"):
            if value := getattr(self, key):
                attrs[key] = value
        if self.scale is not None:
            attrs["scale_factor"] = self.scale
            attrs["add_offset"] = 0.0
        if self.valid_range is not None:
            attrs["smdown_valid_range"] = list(self.valid_range)
        if self.resampling:
            attrs["smdown_resampling"] = self.resampling
        return attrs | dict(self.attrs)


@dataclass(frozen=True)
class CubeSpec:
    """Everything that is fixed when a cube is created.

    Parameters
    ----------
    raster : RasterGrid
        Pixels of the cube.
    variables : tuple of Variable
        Its arrays.
    times : tuple of str
        ISO days, strictly increasing; empty for a cube without time.
    shard, chunk : int
        Pixels along one side of a shard (one object, one writer) and of a chunk (what is read at least).
    fingerprint : str
        Identity of whatever determines the content; resuming under another one is an error.
    attrs : mapping
        Provenance and other group attributes (JSON).
    nested : NestedGrid, optional
        Where the raster is part of a nested grid: which.
    made_from : mapping
        What the fingerprint is of, in words (JSON): said where a cube of another fingerprint is met.
    day_identity : str
        Identity of whatever determines a day, whichever days there are: a cube with the same one is lengthened where
        later days are wanted of it. Without it no cube is.
    """

    raster: RasterGrid
    variables: tuple[Variable, ...]
    times: tuple[str, ...] = ()
    shard: int = 512
    chunk: int = 256
    fingerprint: str = ""
    attrs: Mapping[str, Any] = field(default_factory=dict)
    nested: NestedGrid | None = None
    made_from: Mapping[str, Any] = field(default_factory=dict)
    day_identity: str = ""

    def __post_init__(self) -> None:
        if self.chunk < 1 or self.shard % self.chunk:
            raise CubeError(f"got shards of {self.shard} px and chunks of {self.chunk} px; shards hold whole chunks")
        if list(self.times) != sorted(set(self.times)):
            raise CubeError("got times that are unsorted or double; give each day once, in order")
        if self.nested is not None and self.nested.shape != self.raster.shape:
            raise CubeError(f"got a raster of {self.raster.shape} px on a nested grid of {self.nested.shape} px")
        if any(v.timed for v in self.variables) and not self.times:
            raise CubeError("got variables with a time axis and no times; give the days")

    @property
    def tiles(self) -> tuple[int, int]:
        """Rows and columns of shards."""
        return -(-self.raster.height // self.shard), -(-self.raster.width // self.shard)

    def lengthens(self, other: CubeSpec) -> bool:
        """Whether it is another one with later days."""
        known = len(other.times)
        same = bool(self.day_identity) and self.day_identity == other.day_identity
        return same and known < len(self.times) and self.times[:known] == other.times

    def shape(self, variable: Variable) -> tuple[int, ...]:
        """Return the shape of a variable's array."""
        return (len(self.times), *self.raster.shape) if variable.timed else self.raster.shape


def grid_mapping(raster: RasterGrid) -> dict[str, Any]:
    """Return CF grid-mapping attributes, with the two that GDAL and rioxarray look for."""
    crs = CRS.from_user_input(raster.crs)
    attrs = {k: v for k, v in crs.to_cf().items() if v is not None}
    attrs["spatial_ref"] = attrs["crs_wkt"] = crs.to_wkt()
    attrs["GeoTransform"] = " ".join(repr(float(v)) for v in raster.geotransform)
    return attrs


def axis_attrs(raster: RasterGrid) -> dict[str, dict[str, Any]]:
    """Return CF attributes of the coordinates ``x`` and ``y``."""
    if CRS.from_user_input(raster.crs).is_geographic:
        return {
            "x": {"standard_name": "longitude", "units": "degrees_east", "axis": "X"},
            "y": {"standard_name": "latitude", "units": "degrees_north", "axis": "Y"},
        }
    return {
        name: {"standard_name": f"projection_{name}_coordinate", "units": "m", "axis": name.upper()}
        for name in ("x", "y")
    }


def centres(spec: CubeSpec) -> dict[str, npt.NDArray[np.float64]]:
    """Return the coordinates ``y`` and ``x``; on a nested grid each from its global index, so that cubes align."""
    if spec.nested is None:
        return {"y": spec.raster.y, "x": spec.raster.x}
    w = spec.nested.window
    return {"y": spec.nested.y_centres(w.y0, w.y1), "x": spec.nested.x_centres(w.x0, w.x1)}


def nested_to_json(grid: NestedGrid) -> dict[str, Any]:
    """Return a nested grid as plain JSON."""
    lattice, cells = grid.lattice, grid.cells
    return {
        "lattice": {k: getattr(lattice, k) for k in ("name", "crs", "x0", "y0", "cell", "rows", "cols")},
        "cells": [cells.y0, cells.y1, cells.x0, cells.x1],
        "ratio": grid.ratio,
    }


def nested_from_json(data: Mapping[str, Any]) -> NestedGrid:
    """Return the nested grid that :func:`nested_to_json` wrote."""
    return NestedGrid(Lattice(**data["lattice"]), Window(*data["cells"]), data["ratio"])
