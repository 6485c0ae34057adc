"""The terrain: uplifted, carved by rivers at two scales, and roughened."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from smdown.twin.drainage import erode, wetness_index
from smdown.twin.fields import Component, add_interpolated, gaussian_field, stream
from smdown.twin.frame import Frame

Array32 = npt.NDArray[np.float32]

BASE_M = 380.0
"""Mean elevation of the region."""
COARSE, MEDIUM = 8, 4
"""Pixels along one side of the grids on which rivers carve."""
_BORDER = 24


@dataclass(frozen=True)
class Terrain:
    """The terrain on the working grid; every array is float32 ``(y, x)``.

    Parameters
    ----------
    elevation : ndarray
        Metres.
    gradient : ndarray
        Rise over run of the steepest slope.
    southness : ndarray
        How far the surface leans to the south: minus the northward part of its normal, in -1 to 1.
    wetness : ndarray
        Topographic wetness index, standardised.
    hollow : ndarray
        The same, over a few hundred metres: positive on foot slopes and valley floors, negative on ridges.
    """

    elevation: Array32
    gradient: Array32
    southness: Array32
    wetness: Array32
    hollow: Array32


def make_terrain(frame: Frame, seed: int) -> Terrain:
    """Return the terrain of a region."""
    elevation = _carved(frame, seed)
    roughness = gaussian_field(
        stream(seed, "roughness"), frame.shape, frame.spacing, [Component(240.0, 0.92), Component(0.0, 0.08)]
    )
    elevation += 0.9 * roughness
    elevation += np.float32(BASE_M - elevation.mean())
    gradient, southness = slopes(elevation, *frame.row_spacing)
    index = wetness_index(elevation, *frame.spacing)
    hollow = ndimage.gaussian_filter(index, [180.0 / s for s in frame.spacing], truncate=2.5)
    return Terrain(elevation, gradient, southness, _standard(index), _standard(hollow))


def slopes(elevation: Array32, dy: npt.NDArray[np.float64], dx: npt.NDArray[np.float64]) -> tuple[Array32, Array32]:
    """Return the gradient and the southness of a terrain.

    Parameters
    ----------
    elevation : ndarray
        Metres, ``(y, x)``, first row north.
    dy, dx : ndarray
        Size of each row's pixels on the ground (m).
    """
    rise_south, rise_east = np.gradient(elevation)
    rise_south = rise_south / dy[:, None].astype(np.float32)
    rise_east = rise_east / dx[:, None].astype(np.float32)
    gradient = np.hypot(rise_south, rise_east)
    return gradient, -rise_south / np.sqrt(1 + gradient * gradient)


def _carved(frame: Frame, seed: int) -> Array32:
    """Uplift and carve on a coarse grid, then on a finer one, and bring the result to the pixels."""
    rng = stream(seed, "uplift")
    (coarse, dy, dx), (medium, *finer) = ((_padded(frame, step), *_scaled(frame, step)) for step in (COARSE, MEDIUM))
    lift = gaussian_field(
        rng, coarse, (dy, dx), [Component(12000.0, 0.6), Component(4000.0, 0.3), Component(700.0, 0.1)]
    )
    z = 2.0 * gaussian_field(rng, coarse, (dy, dx), [Component(700.0, 1.0)])
    erode(z, np.exp(0.45 * lift).astype(np.float32) * np.float32(7.0), 36, dy, dx, 0.3, 0.12 * dy * dx)
    z = _warped(rng, z, medium, (finer[0], finer[1]))
    z += 1.5 * gaussian_field(rng, medium, (finer[0], finer[1]), [Component(250.0, 1.0)])
    erode(z, np.full(medium, 0.5, dtype=np.float32), 6, finer[0], finer[1], 0.1, 0.08 * finer[0] * finer[1])
    out = np.zeros(frame.shape, dtype=np.float32)
    rows, columns = (np.arange(n) / MEDIUM + _BORDER for n in frame.shape)
    add_interpolated(out, z, rows, columns, 1.0)
    return out


def _padded(frame: Frame, step: int) -> tuple[int, int]:
    return frame.shape[0] // step + 2 * _BORDER, frame.shape[1] // step + 2 * _BORDER


def _scaled(frame: Frame, step: int) -> tuple[float, float]:
    return frame.spacing[0] * step, frame.spacing[1] * step


def _warped(rng: np.random.Generator, z: Array32, shape: tuple[int, int], spacing: tuple[float, float]) -> Array32:
    """Refine a coarse terrain with its places shifted a little, so that no valley follows the grid's directions."""
    places = []
    for axis, n in enumerate(shape):
        shift = gaussian_field(rng, shape, spacing, [Component(1500.0, 0.7), Component(500.0, 0.3)])
        line = (np.arange(n, dtype=np.float32) - _BORDER) * (MEDIUM / COARSE) + _BORDER
        places.append(np.expand_dims(line, 1 - axis) + shift * np.float32(300.0 / spacing[axis] * MEDIUM / COARSE))
    return np.asarray(ndimage.map_coordinates(z, places, order=3, mode="nearest"), dtype=np.float32)


def _standard(field: Array32) -> Array32:
    return np.asarray((field - field.mean(dtype=np.float64)) / field.std(dtype=np.float64), dtype=np.float32)
