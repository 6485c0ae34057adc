"""Time series as tables; at points, read from those chunks of a mosaic that hold them."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd
from pyproj import Transformer
from rasterio.warp import transform_bounds

from smdown.cubes import Cube, Variable, open_cube, put
from smdown.errors import ConfigError, InputError, ResourceError
from smdown.export.places import Point
from smdown.export.select import choose, day_of, layers_of
from smdown.export.target import bounds
from smdown.grid import RasterGrid, Window

CSV, PARQUET = (".csv",), (".parquet", ".pq")
_LIMIT = 5


@dataclass(frozen=True)
class Series:
    """A table, and what could not be in it.

    Parameters
    ----------
    table : DataFrame
        A row for each place, day and layer.
    left_out : tuple of str
        Places outside the map.
    """

    table: pd.DataFrame
    left_out: tuple[str, ...] = ()


def point_series(
    mosaic_url: str, points: Sequence[Point], layers: Sequence[str] = (), days: Sequence[str] = ()
) -> Series:
    """Return the values at points: those of the pixels that they lie in.

    Parameters
    ----------
    mosaic_url : str
        The mosaic.
    points : sequence of Point
        Where.
    layers, days : sequence of str
        Layers and ISO days; all by default.

    Returns
    -------
    Series
        With the columns ``point``, ``longitude``, ``latitude``, ``time``, ``layer``, ``value`` and ``std`` (in
        ``units``; NaN where missing), ``flags``.

    Raises
    ------
    CubeError
        If the mosaic has no such layer or day, or that day is not finished.
    InputError
        If no point lies on the map.
    """
    cube, chosen, places = open_chosen(mosaic_url, layers, days)
    pixels = _pixels(cube.raster, points)
    inside = [n for n, pixel in enumerate(pixels) if pixel is not None]
    if not inside:
        raise InputError(
            f"got {listed([p.name for p in points])}, outside the map, which has {extent_text(cube.raster)}"
        )
    rows = []
    for layer, (std, flags) in chosen.items():
        columns = {"value": layer, "std": std, "flags": flags}
        found = {key: _at(cube, name, pixels, places) for key, name in columns.items() if name}
        rows += [
            {
                "point": points[n].name, "longitude": points[n].longitude, "latitude": points[n].latitude,
                "time": day_of(cube, place), "layer": layer,
                **{key: values[n][d] for key, values in found.items()}, "units": cube.variables[layer].units,
            }
            for n in inside for d, place in enumerate(places)
        ]  # fmt: skip
    order = ["point", "longitude", "latitude", "time", "layer", "value", "std", "flags", "units"]
    outside = tuple(p.name for p, pixel in zip(points, pixels, strict=True) if pixel is None)
    return Series(pd.DataFrame(rows).reindex(columns=order).astype({"flags": "Int64"}), outside)


def write_series(table: pd.DataFrame, url: str) -> str:
    """Write a table as CSV or Parquet, by the ending of its name, at once.

    Raises
    ------
    ConfigError
        If the ending is neither, or what writes Parquet is not installed.
    ResourceError
        If it cannot be written.
    """
    check_name(url)
    buffer = io.BytesIO()
    if url.lower().endswith(CSV):
        table.to_csv(buffer, index=False, lineterminator="\n")
    else:
        table.astype({"time": "datetime64[ms]"}).to_parquet(buffer, index=False)
    try:
        put(url, buffer.getvalue())
    except (OSError, ValueError) as error:  # the latter of a store that does not exist
        raise ResourceError(f"could not write {url} ({' '.join(str(error).split())}); nothing is left of it") from error
    return url


def check_name(url: str) -> None:
    """Raise ConfigError unless a table can be written under this name."""
    if not url.lower().endswith((*CSV, *PARQUET)):
        raise ConfigError(f"got {url} for a table; name a file that ends in .csv or .parquet")
    if url.lower().endswith(PARQUET) and find_spec("pyarrow") is None:
        raise ConfigError(f"got {url}, which needs pyarrow; install smdown[parquet], or name a .csv")


def open_chosen(url: str, layers: Sequence[str], days: Sequence[str]) -> tuple[Cube, dict[str, Any], list[int]]:
    """Return a mosaic, its layers as :func:`layers_of` has them, and the positions of days; see there for errors."""
    cube = open_cube(url)
    chosen = layers_of(cube, layers)
    _, places = choose(cube, tuple(chosen), days)
    return cube, chosen, places


def _pixels(raster: RasterGrid, points: Sequence[Point]) -> list[tuple[int, int] | None]:
    """Return the row and column of each point, None outside."""
    to_map = Transformer.from_crs("EPSG:4326", raster.crs, always_xy=True)
    x, y = to_map.transform([p.longitude for p in points], [p.latitude for p in points])
    cols, rows = (np.asarray(x) - raster.x0) / raster.dx, (np.asarray(y) - raster.y0) / raster.dy
    return [
        (math.floor(row), math.floor(col)) if 0 <= row < raster.height and 0 <= col < raster.width else None
        for row, col in zip(rows, cols, strict=True)
    ]


def _at(
    cube: Cube, name: str, pixels: Sequence[tuple[int, int] | None], places: Sequence[int]
) -> dict[int, list[float | int]]:
    """Return a variable's values at pixels, by the pixel's number, one a day; each chunk is read once a day."""
    variable, side = cube.variables[name], cube.spec.chunk
    chunks: dict[tuple[int, int], list[int]] = {}
    for n, pixel in enumerate(pixels):
        if pixel is not None:
            chunks.setdefault((pixel[0] // side, pixel[1] // side), []).append(n)
    found: dict[int, list[float | int]] = {n: [] for members in chunks.values() for n in members}
    for members in chunks.values():
        rows, cols = (np.array(axis) for axis in zip(*(pixels[n] or (0, 0) for n in members), strict=True))
        window = Window(int(rows.min()), int(rows.max()) + 1, int(cols.min()), int(cols.max()) + 1)
        for place in places:
            values = cube.read(name, window, place)[rows - window.y0, cols - window.x0]
            for n, value in zip(members, values.tolist(), strict=True):
                found[n].append(round(value, digits_of(variable)) if variable.is_float else int(value))
    return found


def digits_of(variable: Variable) -> int:
    """Return the decimals that a variable's counts have."""
    return 9 if variable.scale is None else max(0, -math.floor(math.log10(variable.scale) + 1e-9))


def listed(names: Sequence[str]) -> str:
    """Return the first names as text."""
    return ", ".join(names[:_LIMIT]) + (f" and {len(names) - _LIMIT} more" if len(names) > _LIMIT else "")


def extent_text(raster: RasterGrid) -> str:
    """Say where a raster lies, in degrees."""
    west, south, east, north = transform_bounds(raster.crs, "EPSG:4326", *bounds(raster))
    return f"longitude {west:.3f} to {east:.3f}, latitude {south:.3f} to {north:.3f}"
