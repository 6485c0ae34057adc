"""What summed spectra say: power by wavelength, its slope, its ratio to the truth, and the effective resolution."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from smdown.evaluation.space.spectrum import Spectrum, bands

F64 = npt.NDArray[np.float64]
HALF = 0.5
"""Ratio of powers, and squared coherence, below which a wavelength counts as not resolved."""
_SHORTEST_PX = 4.0
"""Shortest wavelength that the slope is fitted to, in pixels: below it packing and resampling show."""


@dataclass(frozen=True)
class Scales:
    """Wavelengths of the bands of one grid.

    Parameters
    ----------
    side : int
        Pixels along one side of a window.
    pixel_m : float
        One pixel, metres (the unit of the grid).
    cell_m : float
        One coarse cell.
    """

    side: int
    pixel_m: float
    cell_m: float

    @property
    def wavelength_m(self) -> F64:
        """Of each band, falling."""
        return self.side * self.pixel_m / bands(self.side).wavenumber

    @property
    def slope_band_m(self) -> tuple[float, float]:
        """Longest and shortest wavelength that the slope is fitted to: below the coarse cell, above the pixel."""
        return self.cell_m, _SHORTEST_PX * self.pixel_m

    def power(self, spectrum: Spectrum) -> F64:
        """Return the mean power density of each band, (units)^2 m^2, NaN without windows."""
        total = np.asarray(spectrum.power[:-1], dtype=np.float64)
        modes = bands(self.side).modes
        if not spectrum.windows:
            return np.full(len(modes), math.nan)
        return np.asarray(total / modes / spectrum.windows * self.pixel_m**2)


def slope(wavelength: F64, power: F64, longest: float, shortest: float) -> float:
    """Return the exponent of a power law of wavenumber, by least squares on logarithms; NaN with under 3 bands."""
    used = (wavelength <= longest) & (wavelength >= shortest) & (power > 0)
    if used.sum() < 3:
        return math.nan
    return float(np.polyfit(-np.log(wavelength[used]), np.log(power[used]), 1)[0])


def falls_under(wavelength: F64, curve: F64, level: float = HALF) -> tuple[float, str]:
    """Return the wavelength at which a curve first falls under a level, from long ones on, and what it is.

    Returns
    -------
    tuple
        The wavelength, between two bands by the logarithm of the wavelength, and ``"at"``; the longest one and
        ``"coarser"`` where the curve begins under the level; the shortest and ``"finer"`` where it never falls.
    """
    below = np.flatnonzero(~(curve >= level))
    if below.size == 0:
        return float(wavelength[-1]), "finer"
    i = int(below[0])
    if i == 0:
        return float(wavelength[0]), "coarser"
    upper, lower = curve[i - 1], curve[i] if math.isfinite(curve[i]) else 0.0
    share = (upper - level) / (upper - lower)
    return float(np.exp(np.log(wavelength[i - 1]) + share * np.log(wavelength[i] / wavelength[i - 1]))), "at"


def smoothed(curve: F64) -> F64:
    """Return the median of each band and its neighbours, at the ends of the outermost three.

    What chance does to a single band moves no resolution: the longest wavelengths have the fewest modes.
    """
    if len(curve) < 3:
        return curve
    middle = np.median([curve[:-2], curve[1:-1], curve[2:]], axis=0)
    return np.pad(middle, 1, mode="edge")


def figures(scales: Scales, spectra: Mapping[str, Spectrum], reference: str | None) -> dict[str, dict[str, Any]]:
    """Return by field its power, slope and standard deviation; ratio, coherence and resolution beside a reference."""
    out: dict[str, dict[str, Any]] = {}
    known = None if reference is None else scales.power(spectra[reference])
    for name, spectrum in spectra.items():
        if not spectrum.windows:
            continue
        power = scales.power(spectrum)
        out[name] = {
            "power": power.tolist(),
            "slope": slope(scales.wavelength_m, power, *scales.slope_band_m),
            "std": math.sqrt(spectrum.variance / spectrum.windows),
        }
        if known is not None and name != reference and spectrum.cross:
            out[name] |= _beside(scales, spectrum, power, known)
    return out


def _beside(scales: Scales, spectrum: Spectrum, power: F64, known: F64) -> dict[str, Any]:
    """Return how a field compares with the reference at each wavelength."""
    cross = np.asarray(spectrum.cross[:-1]) / bands(scales.side).modes / spectrum.windows * scales.pixel_m**2
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(known > 0, power / known, math.nan)
        correlation = np.where((known > 0) & (power > 0), cross / np.sqrt(power * known), 0.0)
    correlation = np.clip(correlation, -1.0, 1.0)
    coherence = correlation**2
    by_power = falls_under(scales.wavelength_m, smoothed(ratio))
    by_coherence = falls_under(scales.wavelength_m, smoothed(np.where(correlation > 0, coherence, 0.0)))
    return {
        "ratio": ratio.tolist(),
        "coherence": coherence.tolist(),
        "correlation": correlation.tolist(),
        "effective_resolution": {
            "ratio_m": by_power[0],
            "ratio_bound": by_power[1],
            "coherence_m": by_coherence[0],
            "coherence_bound": by_coherence[1],
        },
    }
