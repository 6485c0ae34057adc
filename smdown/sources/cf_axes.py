"""Axes of a CF variable: which dimension is which, the regular grid behind them, and how to read it north-up."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import xarray as xr
from pyproj import CRS
from pyproj.exceptions import CRSError

from smdown.errors import InputError
from smdown.grid import RasterGrid, Window
from smdown.sources import turns
from smdown.sources.context import crs_name, crs_of, parse_crs

_NAMES = {
    "x": ("longitude", "lon", "x", "projection_x_coordinate", "rlon"),
    "y": ("latitude", "lat", "y", "projection_y_coordinate", "rlat"),
}
_DEGREES = ("degrees_east", "degree_east", "degrees_north", "degree_north", "degrees_e", "degrees_n")
_REGULAR_STEPS = 0.01


@dataclass(frozen=True)
class Axis:
    """One spatial axis, sorted as the cube wants it (x rising, y falling).

    Parameters
    ----------
    dim : str
        Dimension in the file.
    order : ndarray of int
        Position in the file of each of the sorted centres.
    first, step : float
        First sorted centre and signed step.
    """

    dim: str
    order: npt.NDArray[np.int64]
    first: float
    step: float

    def slices(self, start: int, stop: int) -> list[tuple[slice, bool]]:
        """Return the runs of the file, rising and sliced, that hold sorted positions; and whether to reverse each."""
        index = self.order[start:stop]
        cuts = np.flatnonzero(np.abs(np.diff(index)) != 1) + 1
        runs = np.split(index, cuts)
        return [(slice(int(run.min()), int(run.max()) + 1), bool(run[0] > run[-1])) for run in runs]


@dataclass(frozen=True)
class CfGrid:
    """Grid of a variable: the north-up raster and the two axes behind it."""

    raster: RasterGrid
    y: Axis
    x: Axis

    def read(self, array: xr.DataArray, window: Window) -> npt.NDArray[Any]:
        """Return ``(..., y, x)`` of a window, rows from north to south, columns from west to east."""
        rows = [self._row_run(array, run, reverse, window) for run, reverse in self.y.slices(window.y0, window.y1)]
        return np.concatenate(rows, axis=-2)

    def _row_run(self, array: xr.DataArray, run: slice, reverse: bool, window: Window) -> npt.NDArray[Any]:
        parts = []
        for cols, mirror in self.x.slices(window.x0, window.x1):
            part = array.isel({self.y.dim: run, self.x.dim: cols}).transpose(..., self.y.dim, self.x.dim).values
            part = part[..., ::-1, :] if reverse else part
            parts.append(part[..., ::-1] if mirror else part)
        return np.concatenate(parts, axis=-1)


def cf_grid(dataset: xr.Dataset, array: xr.DataArray, crs: str | None, what: str) -> CfGrid:
    """Return the grid of a variable.

    Parameters
    ----------
    dataset : xarray.Dataset
        The file, decoded.
    array : xarray.DataArray
        The variable.
    crs : str, optional
        Overrides what the file states.
    what : str
        Name of file and variable, for messages.

    Raises
    ------
    InputError
        If axes or coordinate reference system cannot be told, or the spacing is not regular.
    """
    x_dim, y_dim = (_find_dim(array, axis, what) for axis in ("x", "y"))
    x, y = (np.asarray(array[dim].values) for dim in (x_dim, y_dim))
    name = parse_crs(crs) if crs is not None else _crs_of(dataset, array, x_dim, what)
    geographic = crs_of(name).is_geographic
    factor = 1.0 if geographic else _metres(array[x_dim], name)
    x_axis = _axis(x_dim, x, factor, rising=True, geographic=geographic, what=what)
    y_axis = _axis(y_dim, y, factor, rising=False, geographic=geographic, what=what)
    if geographic:
        order, front = turns.closed(x_axis.order, x_axis.step)
        x_axis = replace(x_axis, order=order, first=x_axis.first - front * x_axis.step)
    corner = x_axis.first - x_axis.step / 2, y_axis.first - y_axis.step / 2
    raster = RasterGrid(name, *corner, x_axis.step, y_axis.step, y_axis.order.size, x_axis.order.size)
    return CfGrid(raster, y_axis, x_axis)


def _find_dim(array: xr.DataArray, axis: str, what: str) -> str:
    for dim in array.dims:
        if dim not in array.coords:
            continue
        attrs = array[dim].attrs
        marks = {str(dim).lower(), str(attrs.get("standard_name", "")).lower()}
        wanted = "degrees_east" if axis == "x" else "degrees_north"
        if marks & set(_NAMES[axis]) or attrs.get("axis") == axis.upper() or attrs.get("units") == wanted:
            return str(dim)
    raise InputError(
        f"got {what} with dimensions {tuple(array.dims)}, among which no {axis} coordinate is found; "
        f"it needs one named like {', '.join(_NAMES[axis][:3])} or with axis={axis.upper()!r}"
    )


def _axis(dim: str, values: npt.NDArray[Any], factor: float, *, rising: bool, geographic: bool, what: str) -> Axis:
    if values.size < 2 or not np.isfinite(values).all():
        raise InputError(
            f"got {what} with a {dim} axis of {values.size} values, some missing or too few; mend the file"
        )
    centres = values.astype(np.float64) * factor
    round_the_world = geographic and rising
    for choice in turns.centre_choices(centres) if round_the_world else [centres]:
        order = np.argsort(choice if rising else -choice, kind="stable")
        if round_the_world:
            order = turns.without_repeats(order, choice[order])
        if (
            found := _regular(choice[order], digits=6 if geographic and values.dtype.itemsize <= 4 else 15)
        ) is not None:
            return Axis(dim, order.astype(np.int64), *found)
    raise InputError(f"got {what}, whose {dim} axis is not evenly spaced within {_REGULAR_STEPS:.0%}; regrid it first")


def _regular(ranked: npt.NDArray[np.float64], digits: int) -> tuple[float, float] | None:
    """Return first value and step of an evenly spaced axis, None where it is not."""
    step = float(ranked[-1] - ranked[0]) / (ranked.size - 1)
    if step == 0 or float(np.abs(np.diff(ranked) - step).max()) > _REGULAR_STEPS * abs(step):
        return None
    return round(float(ranked[0]), digits), round(step, digits)


def _crs_of(dataset: xr.Dataset, array: xr.DataArray, x_dim: str, what: str) -> str:
    """Return the stated system; plain longitude and latitude without a datum are taken as WGS 84, as CF readers do."""
    stated = array.attrs.get("grid_mapping") or array.encoding.get("grid_mapping") or ""
    first = str(stated).split(":")[0].split(" ")[0]
    if first.startswith("/") and (attrs := outside_attrs(dataset, first)):
        return _from_mapping(attrs, f"{what} (grid mapping {first})")
    for name in (first, "spatial_ref", "crs"):
        if name and name in dataset.variables and dataset[name].attrs:
            return _from_mapping(dict(dataset[name].attrs), f"{what} (grid mapping {name})")
    if str(array[x_dim].attrs.get("units", "")).lower() in _DEGREES:
        return "EPSG:4326"
    raise InputError(f"got {what}, which states no coordinate reference system; set crs, for instance EPSG:4326")


def outside_attrs(dataset: xr.Dataset, path: str) -> dict[str, Any]:
    """Return the attributes of a variable that is named by its path from the file's root, outside the open group."""
    try:
        with h5py.File(dataset.encoding.get("source") or "", "r") as file:
            attrs = dict(file[path].attrs) if path in file else {}
    except OSError:
        return {}
    return {key: _plain(value) for key, value in attrs.items() if not key.startswith("_")}


def _plain(value: Any) -> Any:
    flat = np.asarray(value).reshape(-1)
    if flat.size != 1:
        return flat.tolist()
    return flat[0].decode("utf-8", "replace") if isinstance(flat[0], bytes) else flat[0].item()


def _from_mapping(attrs: dict[str, Any], what: str) -> str:
    try:
        text = attrs.get("crs_wkt") or attrs.get("spatial_ref")
        return crs_name(CRS.from_wkt(str(text)) if text else CRS.from_cf(attrs))
    except (CRSError, KeyError, ValueError) as error:
        raise InputError(f"got {what}, which describes no coordinate reference system; set crs") from error


def _metres(coordinate: xr.DataArray, crs: str) -> float:
    """Return what one unit of a projected coordinate is in units of its system (some files write kilometres)."""
    in_km = str(coordinate.attrs.get("units", "")).lower() in ("km", "kilometers", "kilometres", "kilometer")
    return 1000.0 if in_km and crs_of(crs).axis_info[0].unit_name.startswith("met") else 1.0
