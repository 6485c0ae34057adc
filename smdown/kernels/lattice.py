"""Source positions of target pixels, from nodes at whole multiples of a step in global indices.

Between nodes they are cubic polynomials through the four nearest of them along each axis (Lagrange). A pixel's position
follows from its global index and its own sixteen nodes, so no window sees another one.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from smdown.kernels.compile import compiled

F64 = npt.NDArray[np.float64]


@compiled
def row_positions(nodes: F64, y: int, x0: int, step: int, out: F64) -> None:
    """Fill in the positions of pixels ``(y, x0)``, ``(y, x0 + 1)``, ...

    Parameters
    ----------
    nodes : ndarray of float64, (nodes y, nodes x)
        Positions of every `step`-th pixel; the first node is the one before that at or before the first pixel asked
        for, along both axes. There must be two after the last pixel.
    y, x0 : int
        Row and first column, counted from the second node: ``0 <= x0 < step``.
    step : int
        Pixels from node to node.
    out : ndarray of float64, (x,)
        Filled.
    """
    if step == 1:  # every pixel is a node: what lies beyond the projection stays there
        out[:] = nodes[y + 1, x0 + 1 : x0 + 1 + out.shape[0]]
        return
    a = y // step
    s = (y - a * step) / step
    w0, w1 = -s * (s - 1) * (s - 2) / 6, (s + 1) * (s - 1) * (s - 2) / 2
    w2, w3 = -(s + 1) * s * (s - 2) / 2, (s + 1) * s * (s - 1) / 6
    one, two, three, four = nodes[a], nodes[a + 1], nodes[a + 2], nodes[a + 3]
    j = 0
    while j < out.shape[0]:
        b = (x0 + j) // step
        p = ((w0 * one[b] + w1 * two[b]) + w2 * three[b]) + w3 * four[b]
        q = ((w0 * one[b + 1] + w1 * two[b + 1]) + w2 * three[b + 1]) + w3 * four[b + 1]
        r = ((w0 * one[b + 2] + w1 * two[b + 2]) + w2 * three[b + 2]) + w3 * four[b + 2]
        t = ((w0 * one[b + 3] + w1 * two[b + 3]) + w2 * three[b + 3]) + w3 * four[b + 3]
        c1, c2, c3 = -p / 3 - q / 2 + r - t / 6, p / 2 - q + r / 2, (t - p) / 6 + (q - r) / 2
        stop, offset = min(out.shape[0], (b + 1) * step - x0), x0 - b * step
        for m in range(j, stop):
            u = (offset + m) / step
            out[m] = ((c3 * u + c2) * u + c1) * u + q
        j = stop
