"""Hypothesis strategies for the nouns of the base: windows, grids, halos, rasters with holes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from smdown.grid import EASE2_M09, EASE2_M36, Halo, Lattice, NestedGrid, RasterGrid, Window


@st.composite
def windows(draw: st.DrawFn, least: int = -1000, most: int = 1000, max_side: int = 200) -> Window:
    """Draw windows whose first pixel lies in ``least..most`` and whose sides are ``1..max_side``."""
    y0, x0 = draw(st.integers(least, most)), draw(st.integers(least, most))
    return Window(y0, y0 + draw(st.integers(1, max_side)), x0, x0 + draw(st.integers(1, max_side)))


@st.composite
def nested_grids(draw: st.DrawFn, max_cells: int = 12, max_ratio: int = 12) -> NestedGrid:
    """Draw nested grids anywhere on the named lattices, up to their very edges."""
    lattice: Lattice = draw(st.sampled_from((EASE2_M09, EASE2_M36)))
    height, width = draw(st.integers(1, max_cells)), draw(st.integers(1, max_cells))
    y0 = draw(st.integers(0, lattice.rows - height))
    x0 = draw(st.integers(0, lattice.cols - width))
    return NestedGrid(lattice, Window(y0, y0 + height, x0, x0 + width), draw(st.integers(1, max_ratio)))


@st.composite
def halos(draw: st.DrawFn, most: int = 20) -> Halo:
    """Draw halos of up to `most` pixels."""
    return Halo(draw(st.integers(0, most)), draw(st.integers(0, most)))


@st.composite
def raster_grids(draw: st.DrawFn, max_side: int = 40) -> RasterGrid:
    """Draw small rasters in metres or degrees, with rows from north to south or the other way."""
    step: float = draw(st.sampled_from((0.25, 1.0 / 3600, 30.0, 1000.0)))
    metric = step >= 1
    place = st.integers(-40, 40).map(lambda n: n * (10000.0 if metric else 1.0))
    sign = draw(st.sampled_from((-1.0, 1.0)))
    crs = draw(st.sampled_from(("EPSG:6933", "EPSG:32614") if metric else ("EPSG:4326",)))
    return RasterGrid(
        crs, draw(place), draw(place), step, sign * step, draw(st.integers(1, max_side)), draw(st.integers(1, max_side))
    )


@st.composite
def rasters(draw: st.DrawFn, shape: tuple[int, int], low: float = 0.0, high: float = 1.0) -> npt.NDArray[np.float32]:
    """Draw float32 rasters of `shape` within ``low..high``, missing (NaN) nowhere, at points, in blocks or everywhere.

    The noise comes from one drawn seed, so that large rasters stay cheap and failures shrink to simple patterns.
    """
    random = np.random.default_rng(draw(st.integers(0, 2**16)))
    values = random.uniform(low, high, shape).astype(np.float32)
    pattern = draw(st.sampled_from(("none", "points", "block", "row", "all")))
    if pattern == "points":
        values[random.random(shape) < 0.2] = np.nan
    elif pattern == "block":
        y, x = draw(st.integers(0, shape[0] - 1)), draw(st.integers(0, shape[1] - 1))
        values[y : y + max(1, shape[0] // 2), x : x + max(1, shape[1] // 2)] = np.nan
    elif pattern == "row":
        values[draw(st.integers(0, shape[0] - 1))] = np.nan
    elif pattern == "all":
        values[:] = np.nan
    return values
