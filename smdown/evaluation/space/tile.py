"""What one layer of one day of one tile tells of space: spectra of its windows, and other products on their grids."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from smdown.evaluation import baselines
from smdown.evaluation.job import LayerInput
from smdown.evaluation.reader import Reader
from smdown.evaluation.space.spectrum import Spectrum, spectra_of
from smdown.evaluation.space.windows import windows_of
from smdown.evaluation.stats import Comparison, compare
from smdown.grid import NestedGrid, Tile, Window
from smdown.kernels import axis_weights, resample

F32 = npt.NDArray[np.float32]
MIN_SIDE = 16
"""Fewest pixels along one side of a window that has a spectrum."""


def tile_spectra(
    reader: Reader, tile: Tile, layer: LayerInput, day: str, fields: tuple[F32, F32 | None, F32]
) -> dict[str, Spectrum]:
    """Return the sums over the windows of a tile, by field: truth, the map, and the coarse product at its pixels.

    Parameters
    ----------
    reader : Reader
        For what windows have beyond the tile.
    tile : Tile
        Where.
    layer : LayerInput
        Which.
    day : str
        ISO day.
    fields : tuple of ndarray
        Over the tile the map and the truth, if any; and the coarse product with `baselines.MARGIN` more cells.
    """
    field, truth, coarse = fields
    around = tile.cells.expand(baselines.MARGIN)
    out: dict[str, Spectrum] = {}
    for cells in windows_of(tile, reader.job.grid):
        pixels, wide = cells.refine(tile.ratio), cells.expand(baselines.MARGIN)
        if pixels.height < MIN_SIDE:
            continue
        parts: dict[str, F32] = {}
        for name, cube, array in (("truth", reader.truth, truth), ("ensemble", reader.mosaic, field)):
            if array is not None:
                part = _cut(array, tile.core, pixels)
                found = reader.field(cube, layer.name, pixels, day) if part is None else part
                parts[name] = np.full(pixels.shape, np.nan, np.float32) if found is None else found
        part = _cut(coarse, around, wide)
        near = reader.coarse(layer, wide, day) if part is None else part
        margin = slice(baselines.MARGIN, -baselines.MARGIN)
        parts["coarse_nearest"] = baselines.nearest(near[margin, margin], tile.ratio)
        parts["coarse_cubic"] = baselines.cubic(near, tile.ratio)
        spectra = spectra_of(list(parts.values()), referenced=truth is not None)
        for name, spectrum in zip(parts, spectra, strict=True):
            out[name] = out.get(name, Spectrum()) + spectrum
    return out


def skipped_spectra(tile: Tile, grid: NestedGrid) -> Spectrum:
    """Return what the windows of a tile without a value add up to: every one of them is skipped."""
    windows = [w for w in windows_of(tile, grid) if w.refine(tile.ratio).height >= MIN_SIDE]
    return Spectrum(skipped=len(windows))


def _cut(array: F32, window: Window, part: Window) -> F32 | None:
    """Return a part of an array that covers a window, None where it reaches beyond."""
    return array[part.relative_to(window).slices] if window.contains(part) else None


def compare_products(
    reader: Reader, tile: Tile, layer: LayerInput, day: str, estimates: Mapping[str, F32]
) -> dict[tuple[str, str], Comparison]:
    """Return how estimates compare with each gridded product, by product and member, over pixels that all have.

    The estimates are averaged over the pixels of the grid on which product and map are compared.
    """
    out: dict[tuple[str, str], Comparison] = {}
    for product in reader.job.references:
        reference = reader.product(product, layer.name, tile.cells.refine(product.ratio), day)
        if reference is None:
            continue
        averaged = {member: averages(field, tile.cells, product.ratio) for member, field in estimates.items()}
        known = np.isfinite(reference)
        for field in averaged.values():
            known &= np.isfinite(field)
        if known.any():
            reference = np.where(known, reference, np.float32(np.nan))
            for member, field in averaged.items():
                out[product.name, member] = compare(field, reference, product.ratio)
    return out


def averages(field: F32, cells: Window, ratio: int) -> F32:
    """Return the area means of a field of whole cells over pixels of another ratio, NaN where the middle is missing."""
    fine = field.shape[0] // cells.height
    if fine == ratio:
        return field
    rows, cols = (axis_weights(np.arange(n * ratio + 1) * (fine / ratio), "average") for n in cells.shape)
    return resample(field, 0, 0, rows, cols, coarsen=True)
