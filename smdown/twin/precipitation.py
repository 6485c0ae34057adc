"""The precipitation product: daily sums on a 0.1 degree grid, with errors of its own, as NetCDF."""

from __future__ import annotations

import math
from pathlib import Path

import h5netcdf
import numpy as np
import numpy.typing as npt

from smdown.twin.fields import Component, gaussian_field, stream
from smdown.twin.frame import Frame
from smdown.twin.weather import STEP, Nodes

Array32 = npt.NDArray[np.float32]

CELLS_PER_DEGREE = 10
MARGIN_DEGREES = 0.2
FILL = -9999.0


def write_precipitation(
    out: Path, frame: Frame, nodes: Nodes, rain: Array32, days: npt.NDArray[np.datetime64], seed: int
) -> None:
    """Write one file a year.

    Parameters
    ----------
    out : Path
        Folder.
    frame : Frame
        Region.
    nodes : Nodes
        Lattice of the rain.
    rain : ndarray
        True rain (mm/day), ``(day, y, x)``.
    days : ndarray
        Days of `rain`.
    seed : int
        Seed of the twin.
    """
    out.mkdir(parents=True, exist_ok=True)
    lat, lon, daily = reported(frame, nodes, rain, seed)
    years = days.astype("datetime64[Y]")
    for year in np.unique(years):
        chosen = years == year
        _write_year(out / f"precipitation_{year}.nc", lat, lon, days[chosen], daily[chosen])


def reported(
    frame: Frame, nodes: Nodes, rain: Array32, seed: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], Array32]:
    """Return latitudes (south to north), longitudes, and what the product says of each day (mm/day).

    Its error is a factor, correlated over some 20 km and new each day, on the mean over a grid cell; drizzle is missed.
    """
    rng = stream(seed, "gauges")
    west, south, east, north = frame.bounds(0.0)
    n = CELLS_PER_DEGREE
    x0, x1 = math.floor((west - MARGIN_DEGREES) * n), math.ceil((east + MARGIN_DEGREES) * n)
    y0, y1 = math.floor((south - MARGIN_DEGREES) * n), math.ceil((north + MARGIN_DEGREES) * n)
    rows, columns = (STEP * (np.arange(float(m)) - before) for m, before in zip(nodes.shape, nodes.before, strict=True))
    node_lat, node_lon = frame.geographic(rows, columns)
    mean_y, mean_x = _members(node_lat * n, y0, y1), _members(node_lon * n, x0, x1)
    daily = mean_y @ rain.astype(np.float64) @ mean_x.T
    shape, spacing = daily.shape[1:], (111000.0 / n, 111000.0 / n * math.cos(math.radians(frame.centre[1])))
    for day in range(len(daily)):
        error = gaussian_field(rng, (shape[0], shape[1]), spacing, [Component(12000.0, 1.0)])
        daily[day] *= np.exp(0.28 * error - 0.04)
    daily[daily < 0.3] = 0.0
    return (np.arange(y0, y1) + 0.5) / n, (np.arange(x0, x1) + 0.5) / n, daily.astype(np.float32)


def _members(places: npt.NDArray[np.float64], first: int, stop: int) -> npt.NDArray[np.float64]:
    """Return the matrix that averages the nodes in each grid cell."""
    inside = np.floor(places)[None, :] == np.arange(first, stop)[:, None]
    assert inside.any(axis=1).all(), "the rain reaches beyond the product's margin"
    return np.asarray(inside / inside.sum(axis=1, keepdims=True))


def _write_year(
    path: Path,
    lat: npt.NDArray[np.float64],
    lon: npt.NDArray[np.float64],
    days: npt.NDArray[np.datetime64],
    daily: Array32,
) -> None:
    with h5netcdf.File(path, "w") as file:
        file.attrs["Conventions"] = "CF-1.8"
        file.attrs["title"] = "Synthetic daily precipitation"
        file.dimensions = {"time": len(days), "lat": len(lat), "lon": len(lon)}
        first = days[0].astype("datetime64[Y]").astype("datetime64[D]")
        time = file.create_variable("time", ("time",), data=(days.astype("datetime64[D]") - first).astype(np.int32))
        time.attrs.update({"standard_name": "time", "units": f"days since {first}", "calendar": "standard"})
        for name, long, values, units in (("lat", "latitude", lat, "north"), ("lon", "longitude", lon, "east")):
            axis = file.create_variable(name, (name,), data=values)
            axis.attrs.update({"standard_name": long, "units": f"degrees_{units}"})
        file.create_variable("crs", (), data=np.int32(0)).attrs["grid_mapping_name"] = "latitude_longitude"
        rain = file.create_variable(
            "precipitation", ("time", "lat", "lon"), data=daily, fillvalue=np.float32(FILL), compression="gzip",
            compression_opts=4, shuffle=True,
        )  # fmt: skip
        rain.attrs.update(
            {
                "long_name": "daily precipitation",
                "units": "mm/day",
                "grid_mapping": "crs",
                "cell_methods": "time: sum",
            }
        )
