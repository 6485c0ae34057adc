"""Water over land: the order in which land drains, upslope area, wetness index, and the rivers' work on the terrain."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

Array32 = npt.NDArray[np.float32]
Array64 = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int32]

MIN_GRADIENT = 0.005
"""Least gradient that enters the wetness index; flat land would make it infinite."""

_DY = np.array([-1, -1, -1, 0, 0, 1, 1, 1])
_DX = np.array([-1, 0, 1, -1, 1, -1, 0, 1])


@njit(cache=True)
def _push(keys: Array64, nodes: Indices, size: int, key: float, node: int) -> int:
    i = size
    while i > 0:
        parent = (i - 1) >> 1
        if keys[parent] <= key:
            break
        keys[i], nodes[i] = keys[parent], nodes[parent]
        i = parent
    keys[i], nodes[i] = key, node
    return size + 1


@njit(cache=True)
def _pop(keys: Array64, nodes: Indices, size: int) -> tuple[int, int]:
    node = nodes[0]
    size -= 1
    key, last = keys[size], nodes[size]
    i = 0
    while True:
        child = 2 * i + 1
        if child >= size:
            break
        if child + 1 < size and keys[child + 1] < keys[child]:
            child += 1
        if keys[child] >= key:
            break
        keys[i], nodes[i] = keys[child], nodes[child]
        i = child
    keys[i], nodes[i] = key, last
    return node, size


@njit(cache=True)
def flood(z: Array32) -> tuple[Array64, Indices]:
    """Fill the pits of a terrain and order its pixels from the outlets upwards.

    Priority-flood with a least step per pixel (Barnes et al., 2014, Computers & Geosciences 62): water leaves
    over the raster's edges.

    Parameters
    ----------
    z : ndarray
        Elevation, float32 ``(y, x)``.

    Returns
    -------
    filled : ndarray
        Elevation without pits, float64: from every pixel a falling path leads to the edge.
    order : ndarray
        Flat indices of the pixels, each after every pixel that lies on its falling path.
    """
    height, width = z.shape
    filled = z.astype(np.float64)
    seen = np.zeros((height, width), dtype=np.uint8)
    order = np.empty(height * width, dtype=np.int32)
    keys = np.empty(height * width, dtype=np.float64)
    nodes = np.empty(height * width, dtype=np.int32)
    size = 0
    for y in range(height):
        for x in range(width):
            if y in (0, height - 1) or x in (0, width - 1):
                seen[y, x] = 1
                size = _push(keys, nodes, size, filled[y, x], y * width + x)
    count = 0
    while size > 0:
        node, size = _pop(keys, nodes, size)
        order[count] = node
        count += 1
        y, x = node // width, node % width
        for k in range(8):
            v, u = y + _DY[k], x + _DX[k]
            if 0 <= v < height and 0 <= u < width and seen[v, u] == 0:
                seen[v, u] = 1
                filled[v, u] = max(filled[v, u], filled[y, x] + 1e-4)
                size = _push(keys, nodes, size, filled[v, u], v * width + u)
    return filled, order


@njit(cache=True)
def upslope_area(filled: Array64, order: Indices, dy: float, dx: float) -> Array32:
    """Return the area that drains through each pixel per metre of contour (m).

    Multiple flow directions, weights gradient times contour length (Quinn et al., 1991, Hydrological Processes 5).

    Parameters
    ----------
    filled : ndarray
        Elevation without pits ``(y, x)``.
    order : ndarray
        Pixels from the outlets upwards.
    dy, dx : float
        Size of a pixel (m).
    """
    height, width = filled.shape
    area = np.full((height, width), np.float32(dy * dx))
    diagonal = np.sqrt(dy * dy + dx * dx)
    share = np.zeros(8)
    for i in range(height * width - 1, -1, -1):
        y, x = order[i] // width, order[i] % width
        total = 0.0
        for k in range(8):
            v, u = y + _DY[k], x + _DX[k]
            share[k] = 0.0
            if 0 <= v < height and 0 <= u < width and filled[v, u] < filled[y, x]:
                straight = _DY[k] == 0 or _DX[k] == 0
                distance = diagonal if not straight else (dy if _DX[k] == 0 else dx)
                share[k] = (filled[y, x] - filled[v, u]) / distance * (0.5 if straight else 0.354)
                total += share[k]
        for k in range(8):
            if share[k] > 0.0:
                area[y + _DY[k], x + _DX[k]] += np.float32(area[y, x] * share[k] / total)
    return area / np.float32(np.sqrt(dy * dx))


def wetness_index(elevation: Array32, dy: float, dx: float) -> Array32:
    """Return the topographic wetness index ln(a / tan b) (Beven and Kirkby, 1979, Hydrological Sciences Bulletin 24).

    Parameters
    ----------
    elevation : ndarray
        Elevation (m), ``(y, x)``.
    dy, dx : float
        Size of a pixel (m).
    """
    filled, order = flood(elevation)
    area = upslope_area(filled, order, dy, dx)
    down_y, down_x = np.gradient(elevation, dy, dx)
    return np.asarray(np.log(area / np.maximum(np.hypot(down_y, down_x), MIN_GRADIENT)), dtype=np.float32)


@njit(cache=True)
def erode(z: Array32, uplift: Array32, steps: int, dy: float, dx: float, erodibility: float, diffusion: float) -> None:
    """Let rivers and creep shape a terrain, in place.

    Stream power law of area exponent 0.45, implicit in time along the drainage order (Braun and Willett, 2013,
    Geomorphology 180), and linear hillslope diffusion; lakes fill with sediment. The raster's edge is the base level.

    Parameters
    ----------
    z : ndarray
        Elevation (m), float32 ``(y, x)``.
    uplift : ndarray
        Metres that each step lifts.
    steps : int
        Number of steps.
    dy, dx : float
        Size of a pixel (m).
    erodibility : float
        Stream power coefficient times the length of a step (m^0.1).
    diffusion : float
        Hillslope diffusivity times the length of a step (m2); stable below a quarter of the pixel's area.
    """
    height, width = z.shape
    diagonal = np.sqrt(dy * dy + dx * dx)
    receiver = np.empty(height * width, dtype=np.int32)
    reach = np.empty(height * width, dtype=np.float64)
    for _ in range(steps):
        z += uplift
        filled, order = flood(z)
        z[...] = filled
        area = np.full(height * width, dy * dx)
        for i in range(height * width - 1, -1, -1):
            node = order[i]
            y, x = node // width, node % width
            receiver[node], steepest = node, 0.0
            for k in range(8):
                v, u = y + _DY[k], x + _DX[k]
                if 0 <= v < height and 0 <= u < width:
                    distance = diagonal if _DY[k] != 0 and _DX[k] != 0 else (dy if _DX[k] == 0 else dx)
                    gradient = (filled[y, x] - filled[v, u]) / distance
                    if gradient > steepest:
                        receiver[node], reach[node], steepest = v * width + u, distance, gradient
            if receiver[node] != node:
                area[receiver[node]] += area[node]
        _incise(z, order, receiver, reach, area, erodibility)
        _creep(z, dy, dx, diffusion)


@njit(cache=True)
def _incise(z: Array32, order: Indices, receiver: Indices, reach: Array64, area: Array64, erodibility: float) -> None:
    flat = z.reshape(-1)
    for node in order:
        down = receiver[node]
        if down != node and flat[node] > flat[down]:
            factor = erodibility * area[node] ** 0.45 / reach[node]
            flat[node] = (flat[node] + factor * flat[down]) / (1.0 + factor)


@njit(cache=True)
def _creep(z: Array32, dy: float, dx: float, diffusion: float) -> None:
    old = z.copy()
    for y in range(1, z.shape[0] - 1):
        for x in range(1, z.shape[1] - 1):
            bend_y = (old[y - 1, x] - 2 * old[y, x] + old[y + 1, x]) / (dy * dy)
            bend_x = (old[y, x - 1] - 2 * old[y, x] + old[y, x + 1]) / (dx * dx)
            z[y, x] += diffusion * (bend_y + bend_x)
