"""Loops of power spectra: what is done to a window before its Fourier transform, and the sums after it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from smdown.kernels.compile import compiled

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


@compiled
def taper_sum(known: npt.NDArray[np.bool_], window: F32) -> float:
    """Return the sum over valid pixels of the squares of a taper that is the product of one along each axis."""
    total = 0.0
    for i in range(known.shape[0]):
        for j in range(known.shape[1]):
            if known[i, j]:
                total += (np.float64(window[i]) * window[j]) ** 2
    return total


@compiled
def tapered(field: F32, known: npt.NDArray[np.bool_], window: F32) -> tuple[F32, float]:
    """Return a field less its plane, tapered, and the sum of its squares."""
    height, width = field.shape
    normal, right = np.zeros((3, 3)), np.zeros(3)
    middle_y, middle_x = (height - 1) / 2, (width - 1) / 2
    first = 0.0
    for i in range(height):
        y = i - middle_y
        n, sx, sxx, sv, svx = 0.0, 0.0, 0.0, 0.0, 0.0
        for j in range(width):
            if known[i, j]:
                x, v = j - middle_x, np.float64(field[i, j])
                n += 1.0
                sx += x
                sxx += x * x
                sv += v
                svx += v * x
        normal[0, 0] += n
        normal[0, 1] += n * y
        normal[0, 2] += sx
        normal[1, 1] += n * y * y
        normal[1, 2] += sx * y
        normal[2, 2] += sxx
        right[0] += sv
        right[1] += sv * y
        right[2] += svx
    normal[1, 0], normal[2, 0], normal[2, 1] = normal[0, 1], normal[0, 2], normal[1, 2]
    plane = np.linalg.solve(normal, right) if height > 2 else np.array([right[0] / normal[0, 0], 0.0, 0.0])
    out = np.zeros((height, width), np.float32)
    for i in range(height):
        base = plane[0] + plane[1] * (i - middle_y)
        for j in range(width):
            if known[i, j]:
                v = (field[i, j] - (base + plane[2] * (j - middle_x))) * window[i] * window[j]
                out[i, j] = v
                first += v * v
    return out, first


@compiled
def band_sums(
    wave: npt.NDArray[np.complex64], reference: npt.NDArray[np.complex64], index: I64, times: F64, count: int
) -> F64:
    """Return the sums of power and of cross power in each band, ``(2, band)``."""
    out = np.zeros((2, count))
    for i in range(wave.shape[0]):
        for j in range(wave.shape[1]):
            a, b = wave[i, j], reference[i, j]
            ar, ai = np.float64(a.real), np.float64(a.imag)
            out[0, index[i, j]] += times[j] * (ar * ar + ai * ai)
            out[1, index[i, j]] += times[j] * (ar * b.real + ai * b.imag)
    return out
