"""Physical values to whole counts, in one pass."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from smdown.kernels.compile import compiled


@compiled
def pack(
    values: npt.NDArray[np.floating], scale: float, least: float, most: float, fill: int, out: npt.NDArray[np.integer]
) -> bool:
    """Fill `out` with values in counts of `scale`, rounded half to even; return whether all fit.

    Parameters
    ----------
    values : ndarray
        float, ``(n,)``; what is not finite becomes `fill`.
    scale : float
        Value of one count.
    least, most : float
        Counts that `out` can hold beside `fill`.
    fill : int
        Count that stands for missing.
    out : ndarray
        Integers, ``(n,)``.
    """
    fits = True
    for i in range(values.size):
        count = np.rint(np.float64(values[i]) / scale)
        if not np.isfinite(count):
            out[i] = fill
        elif count < least or count > most:
            fits = False
        else:
            out[i] = out.dtype.type(count)
    return fits
