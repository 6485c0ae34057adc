"""The report's maps: coarse, downscaled, truth and uncertainty of one day, whole and close up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pyproj import Geod, Transformer

from smdown.cubes import Cube
from smdown.evaluation.job import LayerInput
from smdown.evaluation.pictures import (
    CLOSE_SIDE,
    MAX_SIDE,
    Field,
    Scale,
    block_means,
    decimation,
    nice,
    overview,
    scale_of,
)
from smdown.evaluation.reader import first_pixel
from smdown.evaluation.record import Record, time_index
from smdown.grid import NestedGrid, Window

TIMES = "\N{MULTIPLICATION SIGN}"


@dataclass(frozen=True)
class Panel:
    """One picture.

    Parameters
    ----------
    title, src : str
        Heading and data URI.
    scale : Scale
        Its colours.
    coarse : bool
        Whether its pixels are coarse cells, to be shown as crisp squares.
    """

    title: str
    src: str
    scale: Scale
    coarse: bool = False


@dataclass(frozen=True)
class MapSet:
    """Pictures of one layer on one day that share their colours.

    Parameters
    ----------
    day : str
        ISO day.
    panels : tuple of Panel
        Whole region: coarse, downscaled, truth and uncertainty, as far as there are any.
    zoom : tuple of Panel
        The same, close up.
    box : tuple of float
        Place of the close-up: left, top, width, height in percent.
    aspect : float
        Width over height of the whole region.
    scale_bar, zoom_bar : tuple
        Length in percent of the width, and text.
    zoom_cells : str
        What the close-up shows, in words.
    """

    day: str
    panels: tuple[Panel, ...]
    zoom: tuple[Panel, ...]
    box: tuple[float, float, float, float]
    aspect: float
    scale_bar: tuple[float, str]
    zoom_bar: tuple[float, str]
    zoom_cells: str


@dataclass(frozen=True)
class _Fields:
    """The same window of coarse product, mosaic, truth and standard deviation."""

    coarse: Field | None
    fine: Field
    truth: Field | None
    std: Field | None


def map_set(record: Record, layer: LayerInput, day: str) -> MapSet | None:
    """Return the pictures of a layer, or None where the mosaic lacks it on that day."""
    mosaic, grid = record.mosaic, _grid_of(record)
    if mosaic is None or grid is None or layer.name not in mosaic.variables or time_index(mosaic, day) is None:
        return None
    factor = decimation(grid.shape, MAX_SIDE, grid.ratio)
    whole = _read(record, layer, day, grid, grid.cells, factor)
    if not np.isfinite(whole.fine).any():
        return None
    cells = _interesting_cells(whole.fine, grid, factor)
    close = _read(record, layer, day, grid, cells, decimation(cells.refine(grid.ratio).shape, CLOSE_SIDE, grid.ratio))
    values = scale_of([f for f in (whole.coarse, whole.fine, whole.truth, close.fine) if f is not None])
    spread = scale_of([f for f in (whole.std, close.std) if f is not None], "BuPu", least=0.3)
    pixels = cells.refine(grid.ratio).relative_to(grid.window)
    height, width = grid.shape
    box = (pixels.x0 / width, pixels.y0 / height, pixels.width / width, pixels.height / height)
    return MapSet(
        day,
        _panels(whole, values, spread),
        _panels(close, values, spread),
        (box[0] * 100, box[1] * 100, box[2] * 100, box[3] * 100),
        width / height,
        scale_bar(grid, grid.cells),
        scale_bar(grid, cells),
        f"{cells.height} {TIMES} {cells.width} coarse cells, {_place(grid, cells)}",
    )


def _grid_of(record: Record) -> NestedGrid | None:
    if record.job is not None:
        return record.job.grid
    return record.mosaic.nested if record.mosaic is not None else None


def _read(record: Record, layer: LayerInput, day: str, grid: NestedGrid, cells: Window, factor: int) -> _Fields:
    job = record.job
    truth = record.cube(job.truth_url) if job else None
    coarse = record.cube(layer.coarse_url or None)
    fine = _window(record.mosaic, layer.name, day, grid, cells, factor)
    assert fine is not None
    return _Fields(
        _window(coarse, layer.coarse_variable, day, grid.at(1), cells, 1),
        fine,
        _window(truth, layer.name, day, grid, cells, factor),
        _window(record.mosaic, f"{layer.name}_std", day, grid, cells, factor),
    )


def _window(cube: Cube | None, name: str, day: str, grid: NestedGrid, cells: Window, factor: int) -> Field | None:
    """Read whole cells of a cube, shrunk by a factor; strip by strip where it is all of the cube."""
    if cube is None or name not in cube.variables or (time := time_index(cube, day)) is None:
        return None
    y, x = first_pixel(cube, grid)
    window = cells.refine(grid.ratio).shift(-y, -x)
    if window == cube.raster.window:
        return overview(cube, name, time, factor)
    rows = []
    for y0 in range(window.y0, window.y1, grid.ratio):
        strip = Window(y0, y0 + grid.ratio, window.x0, window.x1)
        rows.append(cube.read(name, strip, time))
        if factor > 1 and grid.ratio % factor == 0:
            rows[-1] = block_means(rows[-1], factor)
    return np.concatenate(rows)


def _interesting_cells(fine: Field, grid: NestedGrid, factor: int) -> Window:
    """Return up to 2 x 2 cells in which the map varies most."""
    side = max(1, grid.ratio // factor)
    rows, cols = min(grid.cells.height, fine.shape[0] // side), min(grid.cells.width, fine.shape[1] // side)
    blocks = fine[: rows * side, : cols * side].reshape(rows, side, cols, side)
    known = np.isfinite(blocks)
    count = np.maximum(known.sum(axis=(1, 3)), 1)
    mean = np.where(known, blocks, 0).sum(axis=(1, 3)) / count
    spread = (np.where(known, blocks - mean[:, None, :, None], 0) ** 2).sum(axis=(1, 3)) / side**2
    height, width = min(2, rows), min(2, cols)
    score = np.lib.stride_tricks.sliding_window_view(spread, (height, width)).sum(axis=(2, 3))
    row, col = (int(i) for i in np.unravel_index(int(score.argmax()), score.shape))
    y0, x0 = grid.cells.y0 + row, grid.cells.x0 + col
    return Window(y0, y0 + height, x0, x0 + width)


def _panels(fields: _Fields, values: Scale, spread: Scale) -> tuple[Panel, ...]:
    out = []
    if fields.coarse is not None:
        out.append(Panel("Coarse product", values.png(fields.coarse), values, coarse=True))
    out.append(Panel("Downscaled", values.png(fields.fine), values))
    if fields.truth is not None:
        out.append(Panel("Truth", values.png(fields.truth), values))
    if fields.std is not None:
        out.append(Panel("Uncertainty", spread.png(fields.std), spread))
    return tuple(out)


def _centre(grid: NestedGrid, cells: Window) -> tuple[float, float, float]:
    """Return longitude and latitude of the centre of some cells, and their width on the ground in km."""
    side, lattice = grid.lattice.cell, grid.lattice
    y = lattice.y0 - (cells.y0 + cells.y1) / 2 * side
    x0, x1 = lattice.x0 + cells.x0 * side, lattice.x0 + cells.x1 * side
    longitude, latitude = Transformer.from_crs(grid.crs, "EPSG:4326", always_xy=True).transform([x0, x1], [y, y])
    _, _, metres = Geod(ellps="WGS84").inv(longitude[0], latitude[0], longitude[1], latitude[1])
    return (longitude[0] + longitude[1]) / 2, latitude[0], float(metres) / 1000


def scale_bar(grid: NestedGrid, cells: Window) -> tuple[float, str]:
    """Return a round length: its share of the picture's width in percent, and its text."""
    width_km = _centre(grid, cells)[2]
    length = nice(width_km / 4)
    return length / width_km * 100, f"{length:g} km"


def _place(grid: NestedGrid, cells: Window) -> str:
    longitude, latitude, _ = _centre(grid, cells)
    return place_text(longitude, latitude)


def place_text(longitude: float, latitude: float) -> str:
    """Return a place as people write it."""
    ns, ew = "N" if latitude >= 0 else "S", "E" if longitude >= 0 else "W"
    return f"{abs(latitude):.2f}° {ns}, {abs(longitude):.2f}° {ew}"


def region_text(grid: NestedGrid) -> str:
    """Return what the whole region is, in words."""
    longitude, latitude, width = _centre(grid, grid.cells)
    height, columns = grid.shape
    return (
        f"{grid.cells.height} {TIMES} {grid.cells.width} coarse cells around {place_text(longitude, latitude)} "
        f"({width:,.0f} km wide), {height:,} {TIMES} {columns:,} pixels of {grid.pixel:.4g} m ({grid.crs})"
    ).replace(",000", "\N{THIN SPACE}000")
