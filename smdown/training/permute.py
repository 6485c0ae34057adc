"""A shuffled order that is computed, not stored."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Index = npt.NDArray[np.int64]
ROUNDS = 6
_MASK = (1 << 64) - 1
_ODD, _HIGH = np.uint64(0x9E3779B97F4A7C15), np.uint64(32)
"""The upper half of a product with a number without pattern is well mixed; products wrap around by themselves."""


class Permutation:
    """A permutation of ``0 .. size - 1``: any position is found without the others.

    A balanced Feistel network permutes the next power of four; what falls outside of the range goes through it again
    until it falls inside (cycle walking), at most four times on average (Black and Rogaway 2002).

    Parameters
    ----------
    size : int
        Length of the range.
    key : int, several
        What the order depends on, such as a seed and the number of a pass.
    """

    def __init__(self, size: int, *key: int) -> None:
        self.size = size
        self._half = np.uint64(max(1, ((max(size, 2) - 1).bit_length() + 1) // 2))
        state = 0
        for part in (size, *key):
            state = _mixed(state ^ (part & _MASK))
        self._keys = []
        for _ in range(ROUNDS):
            state = _mixed(state)
            self._keys.append(np.uint64(state))

    def __len__(self) -> int:
        return self.size

    def __call__(self, positions: Index) -> Index:
        """Return what stands at the positions."""
        out = self._network(np.asarray(positions).astype(np.uint64))
        outside = np.flatnonzero(out >= self.size)
        while len(outside):
            out[outside] = self._network(out[outside])
            outside = outside[out[outside] >= self.size]
        return out.astype(np.int64)

    def _network(self, values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        mask = (np.uint64(1) << self._half) - np.uint64(1)
        left, right = values >> self._half, values & mask
        for key in self._keys:
            left, right = right, left ^ (((right ^ key) * _ODD) >> _HIGH & mask)
        return (left << self._half) | right


def _mixed(value: int) -> int:
    """Return the next number of SplitMix64 (Steele, Lea and Flood 2014)."""
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)
