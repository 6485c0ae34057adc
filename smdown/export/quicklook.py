"""One date of one variable as a picture, read by blocks and averaged to what a picture can show."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator
from pyproj import CRS, Transformer

from smdown.cubes import Cube, Variable, open_cube, put
from smdown.export.select import find, shards
from smdown.export.style import FLAG_COLOURS, colours_of
from smdown.grid import RasterGrid

_INK, _FAINT, _GROUND = "#22303c", "#8a949c", "#e9ebec"


def quicklook(mosaic_url: str, variable: str, day: str, path: str | Path, *, largest: int = 1400) -> str:
    """Draw a map as PNG, with longitude and latitude, a scale bar and a colour bar.

    Parameters
    ----------
    mosaic_url : str
        The mosaic.
    variable : str
        One of its variables.
    day : str
        ISO day.
    path : path-like
        Local file or fsspec URL to write.
    largest : int
        Blocks of pixels are averaged until neither side has more.

    Returns
    -------
    str
        Where it was written.

    Raises
    ------
    CubeError
        If the mosaic has no such variable or day.
    """
    cube = open_cube(mosaic_url)
    described, index = find(cube, variable, day)
    values, step = decimated(cube, described, index, largest)
    figure = _figure(cube.raster)
    axes = figure.add_axes((0.09, 0.09, 0.76, 0.81))
    _draw(figure, axes, values, described, cube.raster)
    _graticule(axes, cube.raster)
    _scale_bar(axes, cube.raster)
    metres = abs(cube.raster.dx)
    kind = "mean" if described.is_float else "union"
    shown = f"{metres:.0f} m pixels" + (f", each dot the {kind} of {step} x {step}" if step > 1 else "")
    _titles(figure, described.long_name or described.name, f"{day}   {shown}")
    png = io.BytesIO()
    FigureCanvasAgg(figure).print_png(png, metadata={"Software": "smdown"})
    put(str(path), png.getvalue())
    return str(path)


def decimated(cube: Cube, variable: Variable, index: int, largest: int) -> tuple[npt.NDArray[np.float32], int]:
    """Return the map averaged over ``step x step`` pixels (of flags: their union), and `step`.

    The step divides a chunk, so that no chunk is read twice.
    """
    chunk = cube.spec.chunk
    wanted = max(cube.raster.shape) / largest
    step = next((s for s in range(1, chunk + 1) if chunk % s == 0 and s >= wanted), chunk)
    height, width = (-(-side // step) for side in cube.raster.shape)
    out = np.full((height, width), np.nan, dtype=np.float32)
    for window in shards(cube):
        part = _reduced(cube.read(variable.name, window, index), step)
        y, x = window.y0 // step, window.x0 // step
        out[y : y + part.shape[0], x : x + part.shape[1]] = part
    return out, step


def _reduced(values: npt.NDArray[Any], step: int) -> npt.NDArray[np.float32]:
    """Return means of the finite pixels of each block; of flags, all that any pixel has."""
    short = [-side % step for side in values.shape]
    if values.dtype.kind in "iu":
        padded = np.pad(values, [(0, n) for n in short])
        grouped = padded.reshape(padded.shape[0] // step, step, -1, step)
        return np.bitwise_or.reduce(np.bitwise_or.reduce(grouped, axis=3), axis=1).astype(np.float32)
    padded = np.pad(values, [(0, n) for n in short], constant_values=np.nan)
    grouped = padded.reshape(padded.shape[0] // step, step, -1, step)
    finite = np.isfinite(grouped)
    total = np.where(finite, grouped, 0).sum(axis=(1, 3), dtype=np.float64)
    with np.errstate(invalid="ignore"):
        return np.asarray(total / finite.sum(axis=(1, 3)), dtype=np.float32)


def _figure(raster: RasterGrid) -> Figure:
    height, width = raster.shape
    inches = 9.0 / max(height, width)
    return Figure(figsize=(max(5.5, width * inches / 0.76), max(4.5, height * inches / 0.81)), dpi=150, facecolor="w")


def _draw(figure: Figure, axes: Axes, values: npt.NDArray[np.float32], variable: Variable, raster: RasterGrid) -> None:
    """Draw the map and what its colours mean; pale where nothing is known."""
    x1, y1 = raster.x0 + raster.width * raster.dx, raster.y0 + raster.height * raster.dy
    extent = (raster.x0, x1, y1, raster.y0)
    axes.set_facecolor(_GROUND)
    axes.set_anchor("W")
    if variable.is_float:
        style = _style(values, variable)
        image = axes.imshow(values, extent=extent, interpolation="nearest", **style)
        _colour_bar(figure, axes, image, _units(variable), _extend(values, style))
        return
    names = ["nothing to say", *(m.replace("_", " ") for m in str(variable.attrs.get("flag_meanings", "")).split())]
    colours = ListedColormap(FLAG_COLOURS[: len(names)])
    top = len(names) - 0.5
    axes.imshow(_first_flag(values), extent=extent, interpolation="nearest", cmap=colours, vmin=-0.5, vmax=top)
    patches = [Patch(color=colour, label=name) for colour, name in zip(FLAG_COLOURS, names, strict=False)]
    figure.legend(handles=patches, loc="lower left", ncols=3, fontsize=8, labelcolor=_INK, frameon=False)


def _first_flag(values: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Return the place of the lowest flag that is set, counted from 1; 0 where none is."""
    bits = values.astype(np.int64)
    lowest = np.log2(np.maximum(bits & -bits, 1)).astype(np.int64)
    return np.where(bits > 0, lowest + 1, 0)


def _colour_bar(figure: Figure, axes: Axes, image: AxesImage, label: str, extend: str) -> None:
    axes.apply_aspect()
    box = axes.get_position()
    bar = figure.add_axes((box.x1 + 0.02, box.y0, 0.022, box.height))
    colours = figure.colorbar(image, cax=bar, extend=extend)
    colours.set_label(label, color=_INK)
    colours.outline.set_visible(False)
    bar.tick_params(color=_FAINT, labelcolor=_INK)


def _style(values: npt.NDArray[np.float32], variable: Variable) -> dict[str, Any]:
    """Return colours that everyone can tell apart: dry to wet for a layer, faint to strong for its error."""
    finite = values[np.isfinite(values)]
    low, high = np.percentile(finite, (1, 99)) if finite.size else (0.0, 1.0)
    pad = max(1e-3 * max(abs(float(low)), abs(float(high))), 1e-9) if high - low < 1e-9 else 0.0
    return {"cmap": colours_of(variable), "vmin": float(low) - pad, "vmax": float(high) + pad}


def _extend(values: npt.NDArray[np.float32], style: dict[str, Any]) -> str:
    if not np.isfinite(values).any():
        return "neither"
    below, above = np.nanmin(values) < style["vmin"], np.nanmax(values) > style["vmax"]
    return {(True, True): "both", (True, False): "min", (False, True): "max"}.get((bool(below), bool(above)), "neither")


def _units(variable: Variable) -> str:
    return {"m3 m-3": "m³ m⁻³", "": variable.name}.get(variable.units, variable.units)


def _graticule(axes: Axes, raster: RasterGrid) -> None:
    """Label the axes in degrees along the left and the lower edge."""
    crs = CRS.from_user_input(raster.crs)
    to_degrees = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    to_map = Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    x, y = raster.x, raster.y
    lon = to_degrees.transform(x[[0, -1]], np.full(2, y[-1]))[0]
    lat = to_degrees.transform(np.full(2, x[0]), y[[0, -1]])[1]
    east, north = _round_values(lon), _round_values(lat)
    axes.set_xticks(to_map.transform(east, np.full(len(east), lat[1]))[0])
    axes.set_yticks(to_map.transform(np.full(len(north), lon[0]), north)[1])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda _, n: _degrees(east, n, "EW")))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda _, n: _degrees(north, n, "NS")))
    axes.tick_params(color=_FAINT, labelcolor=_INK, labelsize=9)
    axes.grid(visible=True, color="white", alpha=0.35, linewidth=0.6)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _round_values(ends: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    low, high = float(np.min(ends)), float(np.max(ends))
    ticks = MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    return np.array([t for t in ticks if low <= t <= high])


def _degrees(values: npt.NDArray[np.float64], n: int | None, signs: str) -> str:
    if n is None or n >= len(values):
        return ""
    value = float(values[n])
    return f"{abs(round(value, 6)):g}°{signs[0] if value > 0 else signs[1] if value < 0 else ''}"


def _scale_bar(axes: Axes, raster: RasterGrid) -> None:
    """Draw a bar of a round length, about a fifth of the map's width, true at its centre."""
    if CRS.from_user_input(raster.crs).is_geographic:
        return
    x, y = raster.x, raster.y
    to_degrees = Transformer.from_crs(raster.crs, "EPSG:4326", always_xy=True)
    middle = len(y) // 2
    lon, lat = to_degrees.transform(x[[0, -1]], y[[middle, middle]])
    ground = CRS.from_user_input(raster.crs).get_geod().inv(lon[0], lat[0], lon[1], lat[1])[2]
    if not ground > 0:
        return
    metres = max(m * 10.0**e for e in range(8) for m in (1, 2, 5) if m * 10.0**e <= max(1.0, ground / 5))
    share = metres / ground
    axes.plot([0.04, 0.04 + share], [0.04, 0.04], transform=axes.transAxes, color="white", lw=5, solid_capstyle="butt")
    axes.plot([0.04, 0.04 + share], [0.04, 0.04], transform=axes.transAxes, color=_INK, lw=2.5, solid_capstyle="butt")
    text = f"{metres / 1000:g} km" if metres >= 1000 else f"{metres:g} m"
    label = axes.text(0.04, 0.052, text, transform=axes.transAxes, color=_INK, fontsize=9)
    label.set_bbox({"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 1.5})


def _titles(figure: Figure, title: str, subtitle: str) -> None:
    figure.text(0.09, 0.955, title, fontsize=15, color=_INK, weight="bold", va="bottom")
    figure.text(0.09, 0.925, subtitle, fontsize=10, color=_FAINT, va="bottom")
