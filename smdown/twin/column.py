"""Kernels of the water balance: what a day does to columns of soil, row by row.

Each loop writes few arrays and divides without asking for zero, so that compilers turn it into vector code; a row's
arrays stay in the processor's cache while several days pass over them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from smdown.twin.powers import exp2, log2
from smdown.twin.soil import ROOT_MM, SURFACE_MM, Hydraulics
from smdown.twin.vegetation import Vegetation
from smdown.twin.weather import STEP

Row = npt.NDArray[np.float32]
Field = npt.NDArray[np.float32]
Row64 = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

_ONE, _ZERO, _HALF = np.float32(1.0), np.float32(0.0), np.float32(0.5)
_D1, _D2 = np.float32(SURFACE_MM), np.float32(ROOT_MM)
_LEAVES = np.float32(1.2)  # mm of rain that full cover keeps
_ABSTRACTION = np.float32(0.2)  # share of the retention that fills before anything runs off (SCS curve number method)
_UPTAKE = np.float32(0.2)  # share of transpiration that roots in the surface layer serve
_RESTORE = np.float32(0.25)  # per day, of the difference to the wetter layer below (Noilhan and Planton, 1989)


_FAST: dict[str, Any] = {
    "cache": True,
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"nnan", "nsz", "contract", "arcp", "reassoc"},
}


@njit(inline="always")
def _part(x: Any, low: Any, span: Any) -> Any:
    return min(max((x - low) / span, _ZERO), _ONE)


@njit(inline="always")
def drained(water: Any, pores: Any, power: Any, rate: Any) -> Any:
    """Return the water (mm) that a layer has left after a day of free drainage.

    Exact solution of dW/dt = -K(W) with K = Ks S^(2b+3) (Clapp and Hornberger, 1978, Water Resources Research 14):
    S^-(2b+2) grows linearly in time.

    Parameters
    ----------
    water, pores : float32
        Water and pore space of the layer (mm).
    power, rate : float32
        2 b + 2, and that times the saturated conductivity over the pore space (1/day).
    """
    s = max(water / pores, np.float32(0.02))
    grown = exp2(-power * log2(s)) + rate
    return min(water, pores * exp2(-log2(grown) / power))


@njit(inline="always")
def wetted(w1: Any, w2: Any, falls: Any, comes: Any, pores1: Any, pores2: Any) -> Any:
    """Return both layers (mm) and the runoff after rain that reaches the ground and water from uphill have come in.

    The ground refuses rain by the SCS curve with half of the free pores as retention; what a full layer cannot
    hold goes to the other, and at last over the surface.
    """
    free = max(pores1 + pores2 - w1 - w2, _ONE) * _HALF
    over = max(falls - _ABSTRACTION * free, _ZERO)
    ran = over * over / (over + free)
    w1 += falls - ran
    w2 += comes + max(w1 - pores1, _ZERO)
    w1 = min(w1, pores1) + max(w2 - pores2, _ZERO)
    ran += max(w1 - pores1, _ZERO)
    return min(w1, pores1), min(w2, pores2), ran


@njit(inline="always")
def evaporated(w1: Any, w2: Any, ask: Any, green: Any, wilting: Any, capacity: Any) -> Any:
    """Return what evaporation and roots take from the surface, and what roots take from below (mm).

    Bare ground dries the surface down to half the wilting point, roots feel drought from half way between field
    capacity and wilting point on (FAO-56: Allen et al., 1998).
    """
    dry = _HALF * wilting
    moist = _part(w1 / _D1, dry, capacity - dry)
    onset = _HALF * (capacity - wilting)
    bare = ask * (_ONE - green) * moist * moist
    roots = ask * green
    near = bare + _UPTAKE * roots * _part(w1 / _D1, wilting, onset)
    return min(near, max(w1 - dry * _D1, _ZERO)), (_ONE - _UPTAKE) * roots * _part(w2 / _D2, wilting, onset)


@njit(**_FAST)
def _exchange(
    near: Row, deep: Row, rain: Row, comes: Row, plants: tuple[Row, ...], ground: tuple[Row, ...], weather: Row,
    lost: Row, ran: Row,
) -> None:  # fmt: skip
    """Let a day's rain, inflow and sun act on a row; `lost` and `ran` receive evaporation and runoff (mm)."""
    ask, tilt, p_last, p_winter, p_summer = weather
    lasting, winter, summer = plants
    porosity, wilting, capacity, demand, southness = ground
    for x in range(len(rain)):
        green = min(max(lasting[x] * p_last + winter[x] * p_winter + summer[x] * p_summer, _ZERO), _ONE)
        need = ask * demand[x] * min(max(_ONE + tilt * southness[x], _HALF), _ONE + _HALF)
        held = min(rain[x], _LEAVES * green)
        pores1, pores2 = porosity[x] * _D1, porosity[x] * _D2
        w1, w2, over = wetted(near[x], deep[x], rain[x] - held, comes[x], pores1, pores2)
        up1, up2 = evaporated(w1, w2, max(need - held, _ZERO), green, wilting[x], capacity[x])
        near[x], deep[x] = w1 - up1, w2 - up2
        lost[x], ran[x] = held + up1 + up2, over


@njit(**_FAST)
def _drain(water: Row, porosity: Row, depth: np.float32, power: Row, rate: Row, left: Row) -> None:
    for x in range(len(water)):
        left[x] = drained(water[x], porosity[x] * depth, power[x], rate[x])


@njit(**_FAST)
def _sink(near: Row, deep: Row, porosity: Row, left: Row) -> None:
    """Move what drains to the layer below, as far as there is room, and what rises to a drier surface."""
    for x in range(len(near)):
        sunk = min(near[x] - left[x], porosity[x] * _D2 - deep[x])
        rise = _RESTORE * _D1 * max(deep[x] / _D2 - near[x] / _D1, _ZERO)
        near[x] += rise - sunk
        deep[x] += sunk - rise


@njit(**_FAST)
def _leave(deep: Row, left: Row, interflow: Row, sank: Row, downhill: Row) -> None:
    for x in range(len(deep)):
        sank[x] = deep[x] - left[x]
        downhill[x] = sank[x] * interflow[x]
        deep[x] = left[x]


@njit(parallel=True, **_FAST)
def advance_rows(
    surface: Field, root: Field, soil: Hydraulics, plants: Vegetation, southness: Field, rain: Field, inflow: Field,
    lines: tuple[Indices, Row, Indices, Row], weather: Field, watch: Any, out: Any,
) -> None:  # fmt: skip
    """Take every row some days further, in place; see :meth:`smdown.twin.balance.Land.advance`.

    Parameters
    ----------
    surface, root : ndarray
        Water (mm), float32 ``(y, x)``, changed in place.
    soil, plants, southness
        Properties of the land, float32 ``(y, x)``.
    rain, inflow : ndarray
        Rain ``(day, node y, node x)`` and each day's interflow ``(node y, node x)`` on the nodes (mm).
    lines : tuple
        ``(iy, wy, ix, wx)``: the node before each row and column, and the weight of the next one.
    weather : ndarray
        ``(day, 5)``: demand, tilt, and the season's three shares.
    watch : Watch
        What to report.
    out : Report
        Where to.
    """
    height, width = surface.shape
    iy, wy, ix, wx = lines
    for r in prange(height):
        wet, comes, left = np.empty(width, np.float32), np.empty(width, np.float32), np.empty(width, np.float32)
        lost, ran, sank = np.empty(width, np.float32), np.empty(width, np.float32), np.empty(width, np.float32)
        downhill = np.empty(width, np.float32)
        near, deep, porosity, power = surface[r], root[r], soil.porosity[r], soil.power[r]
        row_of(inflow, iy[r], wy[r], ix, wx, comes)
        comes *= soil.gathering[r]
        for d in range(len(weather)):
            row_of(rain[d], iy[r], wy[r], ix, wx, wet)
            green = plants.lasting[r], plants.winter[r], plants.summer[r]
            ground = porosity, soil.wilting[r], soil.capacity[r], soil.demand[r], southness[r]
            _exchange(near, deep, wet, comes, green, ground, weather[d], lost, ran)
            _drain(near, porosity, _D1, power, soil.surface_rate[r], left)
            _sink(near, deep, porosity, left)
            _drain(deep, porosity, _D2, power, soil.root_rate[r], left)
            _leave(deep, left, soil.interflow[r], sank, downhill)
            _account(wet, lost, ran, sank, comes, out.totals[r])
            spread(downhill, ix, wx, out.shed[r])
            _report(near, deep, r, d, watch, out)


@njit(**_FAST)
def row_of(nodes: Field, i: int, w: Any, ix: Indices, wx: Row, out: Row) -> None:
    """Interpolate one row of pixels from the nodes, between node rows `i` and ``i + 1``."""
    line = nodes[i] + w * (nodes[i + 1] - nodes[i])
    for x in range(len(out)):
        out[x] = line[ix[x]] + wx[x] * (line[ix[x] + 1] - line[ix[x]])


@njit(**_FAST)
def _sum(row: Row) -> float:
    total = 0.0
    for x in range(len(row)):
        total += row[x]
    return total


@njit(**_FAST)
def _account(wet: Row, lost: Row, ran: Row, sank: Row, comes: Row, totals: Row64) -> None:
    totals[0] += _sum(wet)
    totals[1] += _sum(lost)
    totals[2] += _sum(ran)
    totals[3] += _sum(sank)
    totals[4] += _sum(comes)


@njit(**_FAST)
def spread(row: Row, ix: Indices, wx: Row, out: Row64) -> None:
    """Add a row of pixels to the nodes left and right of each, with the weights that interpolation uses."""
    start = 0
    while start < len(row):
        node, stop = ix[start], min(start + STEP, len(row))
        left, right = 0.0, 0.0
        for x in range(start, stop):
            right += row[x] * wx[x]
            left += row[x]
        out[node] += left - right
        out[node + 1] += right
        start = stop


@njit(parallel=True, **_FAST)
def spread_rows(field: Field, ix: Indices, wx: Row, out: Row64) -> None:
    """Do :func:`spread` for every row of `field` (``(y, x)``) into `out` (``(y, node x)``)."""
    for r in prange(field.shape[0]):
        spread(field[r], ix, wx, out[r])


@njit(**_FAST)
def _report(surface: Row, root: Row, r: int, d: int, watch: Any, out: Any) -> None:
    """Write a row's water contents (m3 m-3) where they are wanted."""
    for j in range(len(watch.edges) - 1):
        near = _sum(surface[watch.edges[j] : watch.edges[j + 1]])
        deep = _sum(root[watch.edges[j] : watch.edges[j + 1]])
        out.sums[d, 0, r, j] = near / SURFACE_MM
        out.sums[d, 1, r, j] = (near + deep) / (SURFACE_MM + ROOT_MM)
    for k in range(len(watch.rows)):
        if watch.rows[k] == r:
            x = watch.columns[k]
            out.spots[d, 0, k] = surface[x] / _D1
            out.spots[d, 1, k] = (surface[x] + root[x]) / (_D1 + _D2)
    slot = watch.slots[d]
    if slot >= 0:
        for x in range(len(surface)):
            out.maps[slot, 0, r, x] = surface[x] / _D1
            out.maps[slot, 1, r, x] = (surface[x] + root[x]) / (_D1 + _D2)
