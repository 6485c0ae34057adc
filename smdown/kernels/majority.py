"""The mode: of the classes under a pixel, the one that covers most of it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from smdown.kernels.compile import compiled

I64 = npt.NDArray[np.int64]
F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]


@compiled
def majority(source: F32, along_y: tuple[I64, I64, F32, I64], along_x: tuple[I64, I64, F32, I64], out: F32) -> None:
    """Fill each pixel with the class of most weight, the lowest of equals; NaN where the nearest pixel is missing."""
    ys, yc, yw, yn = along_y
    xs, xc, xw, xn = along_x
    classes, areas = np.empty(yw.shape[1] * xw.shape[1], np.float32), np.empty(yw.shape[1] * xw.shape[1])
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            near = source[yn[i], xn[j]]
            out[i, j] = near
            if not np.isnan(near):
                out[i, j] = mode_of(source, ys[i], yc[i], yw[i], xs[j], xc[j], xw[j], classes, areas)


@compiled
def mode_of(
    source: F32, top: int, ny: int, wy: npt.NDArray[np.floating], left: int, nx: int, wx: npt.NDArray[np.floating],
    classes: F32, areas: F64,
) -> np.float32:  # fmt: skip
    """Return the class of most weight among the taps, the lowest of equals; NaN if none is valid."""
    known = 0
    for m in range(ny):
        for k in range(nx):
            v = source[top + m, left + k]
            if np.isnan(v):
                continue
            c = 0
            while c < known and classes[c] != v:
                c += 1
            if c == known:
                classes[c], areas[c] = v, 0.0
                known += 1
            areas[c] += wy[m] * wx[k]
    best = np.float32(np.nan)
    most = -1.0
    for c in range(known):
        if areas[c] > most + 1e-6 or (areas[c] > most - 1e-6 and classes[c] < best):
            best, most = classes[c], areas[c]
    return best
