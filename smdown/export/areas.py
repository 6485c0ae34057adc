"""Means over polygons, day by day, gathered shard by shard."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from rasterio import Affine
from rasterio.features import geometry_mask

from smdown.cubes import Cube
from smdown.errors import InputError
from smdown.export.places import Polygon
from smdown.export.select import day_of, shards
from smdown.export.series import Series, digits_of, extent_text, listed, open_chosen
from smdown.grid import RasterGrid, Window


def polygon_series(
    mosaic_url: str, polygons: Sequence[Polygon], layers: Sequence[str] = (), days: Sequence[str] = ()
) -> Series:
    """Return means over polygons: of the pixels whose centres lie inside.

    Parameters
    ----------
    mosaic_url : str
        The mosaic; its pixels count alike, as those of an equal-area grid should.
    polygons : sequence of Polygon
        Where.
    layers, days : sequence of str
        Layers and ISO days; all by default.

    Returns
    -------
    Series
        With the columns ``polygon``, ``time``, ``layer``, ``mean``, ``spatial_std`` (standard deviation over the
        pixels), ``mean_std`` (mean of the map's standard deviations: the error of the mean if those of its pixels go
        together; without that it is smaller), ``units``, ``count`` (pixels with a value), ``share_valid``.

    Raises
    ------
    CubeError
        If the mosaic has no such layer or day, or that day is not finished.
    InputError
        If no polygon holds the centre of a pixel.
    """
    cube, chosen, places = open_chosen(mosaic_url, layers, days)
    areas = [_Area(polygon.on_map(cube.raster.crs)) for polygon in polygons]
    for window in shards(cube):
        _gather(cube, window, areas, chosen, places)
    if not any(area.pixels for area in areas):
        names = listed([p.name for p in polygons])
        raise InputError(f"got {names} without the centre of a pixel; the map has {extent_text(cube.raster)}")
    rows = [
        {"polygon": polygon.name, "time": day_of(cube, place), "layer": layer, **area.summary(cube, layer, std, place)}
        for polygon, area in zip(polygons, areas, strict=True) if area.pixels
        for layer, (std, _) in chosen.items() for place in places
    ]  # fmt: skip
    outside = tuple(p.name for p, area in zip(polygons, areas, strict=True) if not area.pixels)
    return Series(pd.DataFrame(rows), outside)


@dataclass
class _Area:
    """A polygon on the map, and what has been seen of it."""

    geometry: dict[str, Any]
    pixels: int = 0
    sums: dict[tuple[str, int], npt.NDArray[np.float64]] = field(default_factory=dict)

    def window(self, raster: RasterGrid) -> Window | None:
        """Return the pixels around it, None if all are outside."""
        x, y = np.concatenate([np.array(part[0]) for part in self.geometry["coordinates"]]).T
        cols, rows = (x - raster.x0) / raster.dx, (y - raster.y0) / raster.dy
        least = math.floor(rows.min()), math.floor(cols.min())
        most = math.floor(rows.max()) + 1, math.floor(cols.max()) + 1
        return Window(least[0], most[0], least[1], most[1]).intersect(raster.window)

    def take(self, name: str, place: int, values: npt.NDArray[np.float32]) -> None:
        """Take in the values of some of its pixels."""
        known = values[np.isfinite(values)].astype(np.float64)
        new = np.array([known.size, known.sum(), np.dot(known, known)])
        self.sums[name, place] = self.sums.get((name, place), np.zeros(3)) + new

    def summary(self, cube: Cube, layer: str, std: str | None, place: int) -> dict[str, Any]:
        """Return its row of the table."""
        variable = cube.variables[layer]
        digits = digits_of(variable) + 3
        count, total, squares = self.sums[layer, place]
        errors, error, _ = self.sums[std, place] if std else (0, 0, 0)
        mean = total / count if count else math.nan
        return {
            "mean": round(mean, digits),
            "spatial_std": round(math.sqrt(max(0.0, squares / count - mean**2)), digits) if count else math.nan,
            "mean_std": round(error / errors, digits) if errors else math.nan,
            "units": variable.units,
            "count": int(count),
            "share_valid": round(count / self.pixels, 6),
        }


def _gather(cube: Cube, window: Window, areas: Sequence[_Area], layers: dict[str, Any], places: Sequence[int]) -> None:
    """Take in what one shard has of every polygon; a shard that none meets is not read."""
    masks = list(_masks(cube.raster, window, areas))
    if not masks:
        return
    y0, x0 = min(part.y0 for _, part, _ in masks), min(part.x0 for _, part, _ in masks)
    y1, x1 = max(part.y1 for _, part, _ in masks), max(part.x1 for _, part, _ in masks)
    box = Window(y0, y1, x0, x1)
    for area, _, mask in masks:
        area.pixels += int(mask.sum())
    for name in [n for layer, (std, _) in layers.items() for n in (layer, std) if n]:
        for place in places:
            values = cube.read(name, box, place)
            for area, part, mask in masks:
                area.take(name, place, values[part.relative_to(box).slices][mask])


def _masks(
    raster: RasterGrid, window: Window, areas: Sequence[_Area]
) -> Iterator[tuple[_Area, Window, npt.NDArray[np.bool_]]]:
    """Yield the polygons of a window, the pixels around each, and which of them have their centres inside."""
    for area in areas:
        around = area.window(raster)
        part = around.intersect(window) if around else None
        if part is None:
            continue
        corner = raster.x0 + part.x0 * raster.dx, raster.y0 + part.y0 * raster.dy
        place = Affine(raster.dx, 0.0, corner[0], 0.0, raster.dy, corner[1])
        mask = geometry_mask([area.geometry], part.shape, place, invert=True)
        if mask.any():
            yield area, part, mask
