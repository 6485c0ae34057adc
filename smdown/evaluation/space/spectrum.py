"""Power spectra of square windows that merge by sums: how much a map varies at each wavelength, and how truly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import fft

from smdown.kernels.waves import band_sums, taper_sum, tapered

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

MIN_VALID = 0.9
"""Least share of valid pixels of a window that is taken."""
PER_OCTAVE = 3
"""Bands of wavenumbers in an octave."""
_FIRST = 0.9
"""Lower edge of the first band, in waves a window: chosen so that no wavenumber of the lattice falls on an edge."""


@dataclass(frozen=True, slots=True)
class Spectrum:
    """Sums over windows of one field.

    Parameters
    ----------
    windows, skipped : int
        Windows that were taken, and those with too few valid pixels.
    variance : float
        Sum over windows of the variance under the taper, (units)^2.
    power : tuple of float
        Sums over windows and over the wavenumbers of each band of the power density, (units)^2 px^2; last the sum over
        all wavenumbers that are in no band.
    cross : tuple of float
        The same of the cross power with the reference, whose imaginary parts cancel; empty without a reference.
    """

    windows: int = 0
    skipped: int = 0
    variance: float = 0.0
    power: tuple[float, ...] = ()
    cross: tuple[float, ...] = ()

    def __add__(self, other: Spectrum) -> Spectrum:
        return Spectrum(
            self.windows + other.windows,
            self.skipped + other.skipped,
            self.variance + other.variance,
            _plus(self.power, other.power),
            _plus(self.cross, other.cross),
        )

    def as_list(self) -> list[Any]:
        """Return plain JSON."""
        return [self.windows, self.skipped, self.variance, list(self.power), list(self.cross)]

    @classmethod
    def from_list(cls, values: Sequence[Any]) -> Spectrum:
        """Return the spectrum that :meth:`as_list` wrote."""
        return cls(int(values[0]), int(values[1]), float(values[2]), tuple(values[3]), tuple(values[4]))


def _plus(a: tuple[float, ...], b: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(x + y for x, y in zip(a, b, strict=True)) if a and b else a or b


@dataclass(frozen=True, slots=True)
class Bands:
    """Bands of wavenumbers of a window.

    Parameters
    ----------
    index : ndarray
        int64 ``(n, n // 2 + 1)``, the band of each coefficient of a real transform; one beyond the last for none.
    modes : ndarray
        int64 ``(band,)``, wavenumbers of the whole plane in each band.
    wavenumber : ndarray
        ``(band,)``, mean number of waves a window.
    """

    index: I64
    modes: I64
    wavenumber: F64


@lru_cache(maxsize=4)
def bands(side: int) -> Bands:
    """Return the bands of windows of ``side x side`` pixels: thirds of octaves up to the Nyquist wavenumber.

    Bands that hold no wavenumber of the window are left out.
    """
    along, half = np.fft.fftfreq(side, 1 / side), np.arange(side // 2 + 1)
    k = np.hypot(along[:, None], half[None, :])
    inside = (k >= _FIRST) & (k <= side / 2)
    raw = np.floor(np.log2(np.where(inside, k, 1.0) / _FIRST) * PER_OCTAVE).astype(np.int64)
    found, index = np.unique(np.where(inside, raw, np.iinfo(np.int64).max), return_inverse=True)
    index = index.reshape(k.shape)
    count = len(found) - 1
    times = np.broadcast_to(multiplicity(side), k.shape)
    modes = np.bincount(index.ravel(), times.ravel(), count + 1)[:count]
    waves = np.bincount(index.ravel(), (times * k).ravel(), count + 1)[:count]
    return Bands(index, modes.astype(np.int64), waves / modes)


def multiplicity(side: int) -> F64:
    """Return how often each column of a real transform stands for in the whole plane."""
    times = np.full(side // 2 + 1, 2.0)
    times[0] = 1.0
    if side % 2 == 0:
        times[-1] = 1.0
    return times


@lru_cache(maxsize=4)
def taper(side: int) -> F32:
    """Return Hann's window along one axis, periodic: it takes away the steps between opposite edges."""
    return (0.5 - 0.5 * np.cos(2 * math.pi * np.arange(side) / side)).astype(np.float32)


def spectra_of(fields: Sequence[F32], *, referenced: bool) -> list[Spectrum]:
    """Return the spectra of fields of one square window over the pixels that all of them have.

    From each its plane of least squares is taken; what is missing counts as on the plane; the rest is tapered (Harris
    1978). The density is such that its integral over the plane of wavenumbers is the variance, and that white noise
    of variance s^2 has the density s^2 (px^2) at every wavenumber.

    Parameters
    ----------
    fields : sequence of ndarray
        float32 ``(side, side)``, NaN for missing.
    referenced : bool
        Whether the first is the reference of the others.
    """
    known = np.isfinite(fields[0])
    for field in fields[1:]:
        known &= np.isfinite(field)
    if known.mean() < MIN_VALID:
        return [Spectrum(skipped=1) for _ in fields]
    side = len(known)
    found, window = bands(side), taper(side)
    waves, variances = [], []
    for field in fields:
        flat, variance = tapered(np.ascontiguousarray(field, np.float32), known, window)
        waves.append(fft.rfft2(flat))
        variances.append(float(variance))
    weight = float(taper_sum(known, window))
    if weight == 0:
        return [Spectrum(skipped=1) for _ in fields]
    sums = [band_sums(wave, waves[0], found.index, multiplicity(side), len(found.modes) + 1) / weight for wave in waves]
    return [
        Spectrum(1, 0, variance / weight, tuple(total[0].tolist()), tuple(total[1].tolist()) if referenced else ())
        for total, variance in zip(sums, variances, strict=True)
    ]
