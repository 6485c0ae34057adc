"""General warp: source positions from a globally anchored lattice, masked kernels in two dimensions."""
# ruff: noqa: PLR0124 - a value that differs from itself is missing; spelled out, the loops vectorise

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from smdown.kernels.axis import Method
from smdown.kernels.compile import compiled
from smdown.kernels.lattice import row_positions
from smdown.kernels.rows import INF, ZERO, finish, finish_holed, lower_of_two, lowest_four, pick
from smdown.kernels.spread import spread

I64 = npt.NDArray[np.int64]
F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
_BLOCK = 256
"""Side of the blocks that the target is filled in: what one needs stays in the second cache."""
_CODE: dict[Method, int] = {"nearest": 0, "bilinear": 1, "cubic": 2, "average": 3, "mode": 4}


def warp(
    source: F32, y0: int, x0: int, rows: F64, cols: F64, corner: tuple[int, int], shape: tuple[int, int], step: int,
    scales: tuple[float, float] = (1.0, 1.0), method: Method = "cubic", *, clamp: bool = True,
) -> F32:  # fmt: skip
    """Resample a raster at positions that a lattice of nodes gives.

    Parameters
    ----------
    source : ndarray of float32, (y, x)
        NaN is missing, all else finite. Where it does not hold the whole kernel, the cubic is missing: surround the
        last pixels of a source with missing ones.
    y0, x0 : int
        Index of its first pixel in the whole source.
    rows, cols : ndarray of float64, (nodes y, nodes x)
        Positions, in the whole source, of every `step`-th target pixel's centre; source pixel ``i`` spans ``i`` to
        ``i + 1``. The first node is target pixel ``(corner // step - 1) * step``; two must follow the last pixel.
    corner, shape : tuple of int
        First target pixel (global indices), and how many of them, y before x.
    step : int
        Target pixels from node to node.
    scales : tuple of float
        Source pixels that a target pixel spans along y and x; kernels are widened by what exceeds 1.
    method : {"cubic", "average", "bilinear", "nearest", "mode"}
        Kernel. Average and mode are those of a rectangle as large as the target pixel, along the source's axes.
    clamp : bool
        Keep results within the extremes of the valid pixels among their taps.

    Returns
    -------
    ndarray of float32, (y, x)
        NaN exactly where the nearest source pixel is missing, and where positions are not finite.
    """
    source = np.ascontiguousarray(source, dtype=np.float32)
    out = np.empty(shape, np.float32)
    nodes = np.ascontiguousarray(rows), np.ascontiguousarray(cols)
    widths = max(1.0, scales[0]), max(1.0, scales[1])
    first = corner[0] % step, corner[1] % step
    if method == "cubic" and widths == (1.0, 1.0):
        _cubic(source, (y0, x0), nodes, first, step, clamp, out)
    else:
        spread(source, (y0, x0), nodes, first, step, widths, _CODE[method], clamp, out)
    return out


@compiled
def _cubic(
    source: F32, origin: tuple[int, int], nodes: tuple[F64, F64], first: tuple[int, int], step: int, clamp: bool,
    out: F32,
) -> None:  # fmt: skip
    """Sum 4 x 4 taps, block by block."""
    (height, width), size = out.shape, _BLOCK
    ys, xs = np.empty((size, size)), np.empty((size, size))
    for top in range(0, height, size):
        for left in range(0, width, size):
            h, w = min(size, height - top), min(size, width - left)
            for i in range(h):
                row_positions(nodes[0], first[0] + top + i, first[1] + left, step, ys[i, :w])
                row_positions(nodes[1], first[0] + top + i, first[1] + left, step, xs[i, :w])
            y0, y1 = _span(ys, h, w, origin[0], source.shape[0])
            x0, x1 = _span(xs, h, w, origin[1], source.shape[1])
            if y1 - y0 < 4 or x1 - x0 < 4:
                out[top : top + h, left : left + w] = np.nan
                continue
            _block(
                np.ascontiguousarray(source[y0:y1, x0:x1]),
                ys,
                xs,
                origin[0] + y0,
                origin[1] + x0,
                h,
                w,
                clamp,
                out,
                top,
                left,
            )


@compiled
def _span(positions: F64, height: int, width: int, origin: int, size: int) -> tuple[int, int]:
    """Return the part of a source's axis that the taps of a block lie in; the extremes lie on the block's border."""
    low, high = np.inf, -np.inf
    for i in range(height):
        for j in range(0, width, 1 if i in {0, height - 1} else max(1, width - 1)):
            p = positions[i, j]
            if not np.isfinite(p):
                return 0, size  # some of the block is beyond the projection
            low, high = min(p, low), max(p, high)
    if high < origin or low > origin + size:
        return 0, 0
    return max(0, int(np.floor(low)) - 4 - origin), min(size, int(np.floor(high)) + 5 - origin)


@compiled
def _block(
    source: F32, ys: F64, xs: F64, y0: int, x0: int, height: int, width: int, clamp: bool, out: F32, top: int, left: int
) -> None:
    """Fill in one block, row by row."""
    filled, gone, holed = _split_holes(source)
    low, high = _lowest_of_squares(source, clamp)
    (rows, stride), n = source.shape, width
    at, near_at, y, x, near = np.empty((2, n), np.int64), np.empty(n, np.int64), 0, 1, np.empty(n, np.float32)
    near_y, near_x, part = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.float32)
    wy, wx, done = np.empty((4, n), np.float32), np.empty((4, n), np.float32), np.empty((4, n), np.float32)
    for i in range(height):
        outside = _split(ys[i, :n], y0, rows, at[y], near_y, part)
        _weights(part, wy)
        outside += _split(xs[i, :n], x0, stride, at[x], near_x, part)
        _weights(part, wx)
        for j in range(n):
            at[x, j] += at[y, j] * stride
            near_at[j] = near_y[j] * stride + near_x[j]
        total, lost, lows, highs = done[0], done[1], done[2], done[3]
        result = out[top + i, left : left + n]
        _sixteen(filled, stride, at[x], wy, wx, total)
        pick(low, at[x], lows)
        pick(high, at[x], highs)
        if holed:
            _sixteen(gone, stride, at[x], wy, wx, lost)
            pick(filled, near_at, near)
            for j in range(n):
                near[j] = near[j] if gone[near_at[j]] == 0 else np.nan
            finish_holed(total, lost, lows, highs, near, clamp, result)
        else:
            finish(total, lows, highs, clamp, result)
        if outside > 0:
            for j in range(n):
                result[j] = result[j] if wy[0, j] == wy[0, j] and wx[0, j] == wx[0, j] else np.nan


@compiled
def _split_holes(source: F32) -> tuple[F32, F32, bool]:
    """Return flat copies: the values with missing ones as 0, and 1 where they are missing; and whether any is."""
    height, width = source.shape
    filled, gone = np.empty(height * width, np.float32), np.empty(height * width, np.float32)
    for i in range(height):
        a, b, row = filled[i * width : (i + 1) * width], gone[i * width : (i + 1) * width], source[i]
        for j in range(width):
            v = row[j]
            a[j] = v if v == v else ZERO
            b[j] = ZERO if v == v else np.float32(1)
    return filled, gone, bool(np.any(gone != 0))


@compiled
def _lowest_of_squares(source: F32, wanted: bool) -> tuple[F32, F32]:
    """Return, flat, the lowest of the 4 x 4 square that begins at each pixel, and the lowest of the negatives."""
    height, width = source.shape
    out = np.full((2, height * width), INF, np.float32)
    if not wanted:
        return out[0], out[1]
    ring, row, pairs = np.full((4, width), INF, np.float32), np.empty(width, np.float32), np.empty(width, np.float32)
    for side in range(2):
        for y in range(height):
            _signed(source[y], np.float32(1 - 2 * side), row)
            lower_of_two(row[: width - 1], row[1:], pairs[: width - 1])
            lower_of_two(pairs[: width - 3], pairs[2 : width - 1], ring[y % 4, : width - 3])
            if y >= 3:
                at = (y - 3) * width
                lowest_four(ring[0], ring[1], ring[2], ring[3], out[side, at : at + width])
    return out[0], out[1]


@compiled
def _signed(row: F32, sign: np.float32, out: F32) -> None:
    """Copy a row times 1 or -1, missing values as infinite."""
    for j in range(row.shape[0]):
        v = row[j]
        out[j] = sign * v if v == v else INF


@compiled
def _split(position: F64, origin: int, size: int, first: I64, near: I64, part: F32) -> int:
    """Return the first of four taps, the nearest one, and how far the position lies beyond the second's centre.

    The last is NaN where a tap lies outside; how many do is returned.
    """
    most = float(size - 4)
    outside = 0
    for j in range(position.shape[0]):
        p = position[j] - 0.5
        f = np.floor(p)
        t = p - f
        g = f - 1.0 - origin
        inside = (g >= 0.0) & (g <= most)
        h = np.int64(g if inside else 0.0)
        first[j] = h
        near[j] = h + (1 if t < 0.5 else 2)
        part[j] = np.float32(t if inside else np.nan)
        outside += 0 if inside else 1
    return outside


@compiled
def _weights(part: F32, out: F32) -> None:
    """Fill in Keys' kernel, a = -0.5 (Keys 1981, doi:10.1109/TASSP.1981.1163711, eq. 15)."""
    half, one, a, b = np.float32(0.5), np.float32(1), np.float32(1.5), np.float32(2.5)
    for j in range(part.shape[0]):
        t = part[j]
        u = one - t
        out[0, j] = ((one - half * t) * t - half) * t
        out[1, j] = (a * t - b) * t * t + one
        out[2, j] = (a * u - b) * u * u + one
        out[3, j] = ((one - half * u) * u - half) * u


@compiled
def _sixteen(flat: F32, stride: int, at: I64, wy: F32, wx: F32, out: F32) -> None:
    """Sum the 4 x 4 pixels that begin at flat indices."""
    s, o1, o2, o3 = np.uint64(stride), np.uint64(1), np.uint64(2), np.uint64(3)
    for j in range(out.shape[0]):
        k = np.uint64(at[j])
        m, n, o = k + s, k + s + s, k + s + s + s
        p, q, r, t = wx[0, j], wx[1, j], wx[2, j], wx[3, j]
        a = ((p * flat[k] + q * flat[k + o1]) + r * flat[k + o2]) + t * flat[k + o3]
        b = ((p * flat[m] + q * flat[m + o1]) + r * flat[m + o2]) + t * flat[m + o3]
        c = ((p * flat[n] + q * flat[n + o1]) + r * flat[n + o2]) + t * flat[n + o3]
        d = ((p * flat[o] + q * flat[o + o1]) + r * flat[o + o2]) + t * flat[o + o3]
        out[j] = ((wy[0, j] * a + wy[1, j] * b) + wy[2, j] * c) + wy[3, j] * d
