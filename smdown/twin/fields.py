"""Random fields with a given correlation, and their values between grid points."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit, prange
from scipy import fft

Array32 = npt.NDArray[np.float32]
Array64 = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
Shape = tuple[int, int]
Transform = Callable[[Array64, Array64], tuple[Array64, Array64]]

LATTICE = 64
"""Pixels between the points whose coordinates are transformed exactly; those between them are interpolated."""


@dataclass(frozen=True, slots=True)
class Component:
    """One scale of a random field.

    Parameters
    ----------
    length_m : float
        Scale of the Matern correlation (m); correlation falls to 0.5 at about 1.7 times this. 0 is white noise.
    share : float
        Share of the field's variance.
    """

    length_m: float
    share: float


def stream(seed: int, name: str) -> np.random.Generator:
    """Return the random numbers of one named part; no part's numbers depend on what other parts draw."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def gaussian_field(
    rng: np.random.Generator, shape: Shape, spacing: tuple[float, float], components: Sequence[Component]
) -> Array32:
    """Return a Gaussian random field of mean 0, and of variance 1 over many seeds.

    Each component is drawn by the Fourier method on a grid about four times finer than its length, with a border
    that keeps opposite edges independent, and brought to the pixels by cubic interpolation.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    shape : tuple of int
        Rows and columns.
    spacing : tuple of float
        Size of a pixel on the ground (m).
    components : sequence of Component
        Scales; their shares sum to one.
    """
    out = np.zeros(shape, dtype=np.float32)
    for part in components:
        if part.length_m == 0:
            out += np.float32(np.sqrt(part.share)) * rng.standard_normal(shape, dtype=np.float32)
            continue
        steps = tuple(max(1, int(part.length_m / 4 / s)) for s in spacing)
        pads = tuple(int(5 * part.length_m / (s * step)) + 4 for s, step in zip(spacing, steps, strict=True))
        nodes = tuple(n // step + 6 + pad for n, step, pad in zip(shape, steps, pads, strict=True))
        size = tuple(s * step for s, step in zip(spacing, steps, strict=True))
        coarse = _matern(rng, (fft.next_fast_len(nodes[0]), fft.next_fast_len(nodes[1])), size, part.length_m)
        fy, fx = (np.arange(n) / step + 2.0 for n, step in zip(shape, steps, strict=True))
        add_interpolated(out, coarse, fy, fx, float(np.sqrt(part.share)))
    out -= np.float32(out.mean(dtype=np.float64))
    return out


def _matern(rng: np.random.Generator, shape: Shape, spacing: tuple[float, ...], length: float) -> Array32:
    """Draw a periodic Matern field of smoothness 1.5: the spectrum is (1 + (k L)^2)^-2.5 in two dimensions."""
    ky = fft.fftfreq(shape[0], spacing[0] / (2 * np.pi))[:, None]
    kx = fft.rfftfreq(shape[1], spacing[1] / (2 * np.pi))[None, :]
    spectrum = (1.0 + length**2 * (ky**2 + kx**2)) ** -1.25
    spectrum[0, 0] = 0.0
    noise = fft.rfft2(rng.standard_normal(shape, dtype=np.float32))
    twice = np.full(spectrum.shape[1], 2.0)
    twice[0] = 1.0
    if shape[1] % 2 == 0:
        twice[-1] = 1.0
    power = float((spectrum**2 * twice).sum()) / (shape[0] * shape[1])
    return np.asarray(fft.irfft2(noise * (spectrum / np.sqrt(power)), shape), dtype=np.float32)


def add_interpolated(out: Array32, coarse: Array32, fy: Array64, fx: Array64, amplitude: float) -> None:
    """Add `amplitude` times the cubic interpolation of `coarse` at rows `fy` and columns `fx` (in its pixels)."""
    iy, wy = _cubic_weights(fy)
    ix, wx = _cubic_weights(fx)
    _add_cubic(out, np.ascontiguousarray(coarse), iy, (wy * amplitude).astype(np.float32), ix, wx.astype(np.float32))


def _cubic_weights(f: Array64) -> tuple[Indices, Array64]:
    """Return the first of four taps and the weights of Keys (1981) cubic convolution, a = -0.5."""
    first = np.floor(f).astype(np.int64)
    t = f - first
    weights = np.stack(
        [
            ((-0.5 * t + 1.0) * t - 0.5) * t,
            (1.5 * t - 2.5) * t * t + 1.0,
            ((-1.5 * t + 2.0) * t + 0.5) * t,
            (0.5 * t - 0.5) * t * t,
        ],
        axis=1,
    )
    return first - 1, weights


@njit(parallel=True, cache=True)
def _add_cubic(out: Array32, coarse: Array32, iy: Indices, wy: Array32, ix: Indices, wx: Array32) -> None:
    height, width = out.shape
    ny, nx = coarse.shape
    for r in prange(height):
        row = np.zeros(nx, dtype=np.float32)
        for k in range(4):
            source = min(max(iy[r] + k, 0), ny - 1)
            weight = wy[r, k]
            for x in range(nx):
                row[x] += weight * coarse[source, x]
        for x in range(width):
            total = np.float32(0.0)
            for k in range(4):
                total += wx[x, k] * row[min(max(ix[x] + k, 0), nx - 1)]
            out[r, x] += total


def sample_rows_columns(field: Array32, fy: Array64, fx: Array64) -> Array32:
    """Return bilinear values at every pair of a fractional row `fy` and column `fx`; NaN beyond the field."""
    out = np.empty((len(fy), len(fx)), dtype=np.float32)
    _sample_grid(np.ascontiguousarray(field), fy, fx, out)
    return out


@njit(inline="always")
def _bilinear(field: Array32, fy: float, fx: float) -> Any:
    height, width = field.shape
    if not (0.0 <= fy <= height - 1 and 0.0 <= fx <= width - 1):
        return np.float32(np.nan)
    y, x = min(int(fy), height - 2), min(int(fx), width - 2)
    ty, tx = np.float32(fy - y), np.float32(fx - x)
    top = field[y, x] + tx * (field[y, x + 1] - field[y, x])
    low = field[y + 1, x] + tx * (field[y + 1, x + 1] - field[y + 1, x])
    return top + ty * (low - top)


@njit(parallel=True, cache=True)
def _sample_grid(field: Array32, fy: Array64, fx: Array64, out: Array32) -> None:
    for r in prange(out.shape[0]):
        for x in range(out.shape[1]):
            out[r, x] = _bilinear(field, fy[r], fx[x])


@dataclass(frozen=True)
class Sampler:
    """Bilinear values of working-grid fields on a raster of another projection.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the raster.
    fy, fx : ndarray
        Fractional rows and columns in the working grid of every 64th point of the raster, ``(y, x)``; between them
        they are interpolated (error below 0.01 pixel in any UTM zone, as the tests show).
    """

    shape: Shape
    fy: Array64
    fx: Array64

    def __call__(self, field: Array32) -> Array32:
        """Return the field on the raster, NaN where it does not reach."""
        out = np.empty(self.shape, dtype=np.float32)
        _sample_lattice(np.ascontiguousarray(field), self.fy, self.fx, LATTICE, out)
        return out


def make_sampler(shape: Shape, x: Array64, y: Array64, place: Transform) -> Sampler:
    """Return the sampler of a raster.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the raster.
    x, y : ndarray
        Coordinates of the raster's first two column and row centres or more; steps are constant.
    place : callable
        Maps coordinates to fractional rows and columns of the field.
    """
    rows, columns = (np.arange(0, n + LATTICE, LATTICE) for n in shape)
    grid_x, grid_y = np.meshgrid(x[0] + columns * (x[1] - x[0]), y[0] + rows * (y[1] - y[0]))
    fy, fx = place(grid_x, grid_y)
    return Sampler(shape, np.ascontiguousarray(fy), np.ascontiguousarray(fx))


@njit(parallel=True, cache=True)
def _sample_lattice(field: Array32, node_y: Array64, node_x: Array64, step: int, out: Array32) -> None:
    for r in prange(out.shape[0]):
        i, t = r // step, (r % step) / step
        for x in range(out.shape[1]):
            j, u = x // step, (x % step) / step
            a, b, c, d = (1 - t) * (1 - u), (1 - t) * u, t * (1 - u), t * u
            fy = a * node_y[i, j] + b * node_y[i, j + 1] + c * node_y[i + 1, j] + d * node_y[i + 1, j + 1]
            fx = a * node_x[i, j] + b * node_x[i, j + 1] + c * node_x[i + 1, j] + d * node_x[i + 1, j + 1]
            out[r, x] = _bilinear(field, fy, fx)
