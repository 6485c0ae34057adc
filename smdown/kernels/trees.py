"""Sums of complete binary trees, evaluated for many rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from smdown.errors import InputError
from smdown.kernels.compile import compiled

_BLOCK = 256
"""Rows that go through all trees at once; they then stay in the processor's cache."""


def add_trees(
    x: npt.NDArray[np.float32],
    feature: npt.NDArray[np.int32],
    threshold: npt.NDArray[np.float32],
    leaf: npt.NDArray[np.float32],
) -> npt.NDArray[np.float32]:
    """Return the sum over all trees for each row.

    In a node, values up to the threshold go to the first child, larger ones to the second; the children of node *k* are
    ``2 k + 1`` and ``2 k + 2``, and the leaves follow the inner nodes.

    Parameters
    ----------
    x : ndarray
        ``(n, feature)``, without NaN.
    feature, threshold : ndarray
        ``(tree, 2**depth - 1)``.
    leaf : ndarray
        ``(tree, 2**depth)``.

    Returns
    -------
    ndarray
        ``(n,)``.

    Raises
    ------
    InputError
        If the shapes do not fit, or a node names a feature that there is not.
    """
    trees, leaves = leaf.shape
    if leaves < 2 or leaves & (leaves - 1) or feature.shape != (trees, leaves - 1) or threshold.shape != feature.shape:
        raise InputError(
            f"got trees of {feature.shape} features, {threshold.shape} thresholds and {leaf.shape} leaves; "
            "wanted (tree, 2**depth - 1) twice and (tree, 2**depth)"
        )
    if feature.size and not 0 <= feature.min() <= feature.max() < x.shape[1]:
        raise InputError(f"got trees on features up to {feature.max()} for rows of {x.shape[1]}; fit them again")
    out = np.zeros(len(x), dtype=np.float32)
    _evaluate(np.ascontiguousarray(x), feature, threshold, leaf, out)
    return out


def _sum_of_trees(x: Any, feature: Any, threshold: Any, leaf: Any, out: Any) -> None:
    """Compare in every node, and choose from the leaves upwards: no row waits for where it went before."""
    features, inner = x.shape[1], feature.shape[1]
    columns, chosen = np.empty((features, _BLOCK), np.float32), np.empty((inner // 2 + 1, _BLOCK), np.float32)
    for start in range(0, x.shape[0], _BLOCK):
        count = min(_BLOCK, x.shape[0] - start)
        for i in range(count):
            for f in range(features):
                columns[f, i] = x[start + i, f]
        for t in range(feature.shape[0]):
            width = inner // 2 + 1
            for k in range(width):
                node = width - 1 + k
                column, at, row = columns[feature[t, node]], threshold[t, node], chosen[k]
                first, second = leaf[t, 2 * k], leaf[t, 2 * k + 1]
                for i in range(_BLOCK):
                    row[i] = second if column[i] > at else first
            while width > 1:
                width //= 2
                for k in range(width):
                    node = width - 1 + k
                    column, at, row = columns[feature[t, node]], threshold[t, node], chosen[k]
                    left, right = chosen[2 * k], chosen[2 * k + 1]
                    for i in range(_BLOCK):
                        row[i] = right[i] if column[i] > at else left[i]
            for i in range(count):
                out[start + i] += chosen[0, i]


_evaluate = compiled(_sum_of_trees)
