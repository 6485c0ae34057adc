"""Logarithm and power of two for float32, plain enough that compilers turn loops around them into vector code."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

_ONE, _LIMIT = np.float32(1.0), np.float32(120.0)
_L6, _L5, _L4 = np.float32(0.0204903461), np.float32(-0.0960662494), np.float32(0.215588533)
_L3, _L2, _L1, _L0 = np.float32(-0.339247773), np.float32(0.477705931), np.float32(-0.721162734), np.float32(1.44269326)
_E5, _E4, _E3 = np.float32(0.00189510729), np.float32(0.00894621467), np.float32(0.0558632827)
_E2, _E1 = np.float32(0.24014077), np.float32(0.69315462)


@njit(inline="always")
def log2(x: Any) -> Any:
    """Return the logarithm of a positive normal float32, within 3e-6."""
    bits = np.float32(x).view(np.int32)
    power = np.float32(np.int32((bits >> 23) - 127))
    m = np.int32((bits & 0x7FFFFF) | 0x3F800000).view(np.float32) - _ONE
    p = _L6 * m + _L5
    p = p * m + _L4
    p = p * m + _L3
    p = p * m + _L2
    p = p * m + _L1
    p = p * m + _L0
    return power + p * m


@njit(inline="always")
def exp2(x: Any) -> Any:
    """Return two to the power of a float32, cut to -120 to 120, within 1e-6 of its size."""
    x = min(max(np.float32(x), -_LIMIT), _LIMIT)
    whole = np.floor(x)
    t = x - whole
    p = _E5 * t + _E4
    p = p * t + _E3
    p = p * t + _E2
    p = p * t + _E1
    p = p * t + _ONE
    return p * np.int32((np.int32(whole) + np.int32(127)) << np.int32(23)).view(np.float32)
