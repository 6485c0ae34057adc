"""Sobol indices: shares of the variance over pixels that drivers, or groups of them, account for.

Drivers depend on each other; Sobol's decomposition is of independent factors. A factor here is a group of drivers that
is drawn as a whole from one donor pixel, so what holds inside a group is kept, and groups are drawn independently of
each other. With single drivers as factors, their marginal distributions are kept and all dependence is lost. Indices
tell what the networks do with their inputs, not how much of the real field's variance each explains (Saltelli et al.
2010, Computer Physics Communications 181; Mara and Tarantola 2012, Reliability Engineering & System Safety 107).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from smdown.evaluation.drivers.channels import Channels
from smdown.evaluation.drivers.pixels import Array, Model, Pixels

BASE = 256
"""Base samples; ``BASE (factors + 2)`` pixels are predicted."""
_DRAWS = 100


def sobol_indices(
    model: Model, pixels: Pixels, factors: Mapping[str, Channels], *, base: int = BASE, seed: int = 0
) -> dict[str, dict[str, Array]]:
    """Return first-order and total indices by factor.

    Parameters
    ----------
    model : Model
        What is explained.
    pixels : Pixels
        Donors.
    factors : mapping
        Channels that are drawn together.
    base : int
        Base samples, a power of two.
    seed : int
        Of the scrambled sequence and of the intervals.

    Returns
    -------
    dict
        ``first``, ``first_conf``, ``total``, ``total_conf`` by factor, each ``(member, layer)``; the half widths of
        95 % intervals by resampling. NaN where the output does not vary.
    """
    from SALib.analyze import sobol as analyze
    from SALib.sample import sobol as sample

    names = list(factors)
    problem = {"num_vars": len(names), "names": names, "bounds": [[0.0, 1.0]] * len(names)}
    unit = sample.sample(problem, base, calc_second_order=False, seed=seed)
    output = model(*donated(pixels, [factors[name] for name in names], unit))
    found: dict[str, Any] = {name: {} for name in names}
    shape = output.shape[:2]
    keys = {"S1": "first", "S1_conf": "first_conf", "ST": "total", "ST_conf": "total_conf"}
    table = {key: np.full((*shape, len(names)), np.nan) for key in keys}
    for member, layer in np.ndindex(*shape):
        values = output[member, layer]
        if values.std() > 1e-9 * max(1.0, float(np.abs(values).max())):
            result = analyze.analyze(
                problem, values, calc_second_order=False, num_resamples=_DRAWS, conf_level=0.95, seed=seed
            )
            for key in keys:
                table[key][member, layer] = result[key]
    for n, name in enumerate(names):
        found[name] = {ours: table[key][..., n] for key, ours in keys.items()}
    return found


def donated(
    pixels: Pixels, factors: list[Channels], unit: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return the drivers and series of rows whose factors come from the donors at quantiles ``(row, factor)``."""
    fine = np.repeat(pixels.fine[:1], len(unit), axis=0)
    series = np.repeat(pixels.series[:1], len(unit), axis=0)
    for n, channels in enumerate(factors):
        order = ranked(pixels, channels)
        donors = order[np.minimum((unit[:, n] * len(order)).astype(np.int64), len(order) - 1)]
        if channels.fine:
            fine[:, channels.fine] = pixels.fine[donors][:, channels.fine]
        for channel in channels.sequence:
            series[:, :, channel] = pixels.series[donors, :, channel]
    return fine, series


def ranked(pixels: Pixels, channels: Channels) -> npt.NDArray[np.int64]:
    """Return the donors in the order of the first principal component of a factor: of one driver, of its values."""
    columns = [pixels.fine[:, channels.fine]] if channels.fine else []
    columns += [pixels.series[:, :, channel].mean(axis=1, keepdims=True) for channel in channels.sequence]
    table = np.concatenate(columns, axis=1).astype(np.float64)
    centred = table - table.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    return np.argsort(centred @ axes[0], kind="stable")
