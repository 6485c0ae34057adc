"""Training samples as the rows of a table: drivers on the left, layers on the right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from smdown.networks.base import crop
from smdown.training.groups import Group, SampleSet
from smdown.training.stream import Streamed

Array = npt.NDArray[np.float32]
ROWS_PER_SET = 40_000
"""Rows of one label and resolution, at most: pixels of a sample are as alike as neighbours are."""
_STREAMED = 1500
_BATCH_PIXELS = 200_000


@dataclass(frozen=True)
class Rows:
    """A table to fit to.

    Parameters
    ----------
    x : ndarray
        float32, ``(n, driver)``, standardised as for the networks; 0 where missing.
    y : ndarray
        float32, ``(n, layer)``, standardised; NaN where missing.
    weight : ndarray
        float32, ``(n,)``: the rows of a label share the label's weight; 1 on average.
    station : ndarray of bool
        Whether a row is a station's.
    """

    x: Array
    y: Array
    weight: Array
    station: npt.NDArray[np.bool_]

    def of_layer(self, n: int) -> tuple[Array, Array, Array]:
        """Return drivers, values and weights of the rows that have a layer."""
        known = np.isfinite(self.y[:, n])
        return self.x[known], self.y[known, n], self.weight[known]


def rows_of(sets: list[SampleSet | Streamed] | list[SampleSet], seed: int) -> Rows:
    """Return the rows of sample sets.

    A label of cell means gives one row per cell and day, its drivers averaged over the cell: a model that is not
    linear cannot be fitted to means of its predictions. Labels of pixels give some pixels of each sample.
    """
    rng = np.random.default_rng(seed)
    parts = [_of_set(samples, rng) for samples in sets if len(samples)]
    kinds = np.concatenate([np.full(len(x), samples.label) for samples, (x, _) in zip(sets, parts, strict=True)])
    share = {samples.label: samples.share for samples in sets}
    weight = np.zeros(len(kinds), dtype=np.float32)
    for kind, value in share.items():
        own = kinds == kind
        weight[own] = value / max(1, int(own.sum()))
    return Rows(
        np.concatenate([x for x, _ in parts]),
        np.concatenate([y for _, y in parts]),
        weight / weight.mean(),
        kinds == "stations",
    )


def _of_set(samples: SampleSet | Streamed, rng: np.random.Generator) -> tuple[Array, Array]:
    each = max(1, ROWS_PER_SET // _count(samples))
    found = [_of_group(group, each, rng) for group in groups_of(samples)]
    return np.concatenate([x for x, _ in found]), np.concatenate([y for _, y in found])


def _count(samples: SampleSet | Streamed) -> int:
    return min(len(samples), _STREAMED) if isinstance(samples, Streamed) else len(samples)


def groups_of(samples: SampleSet | Streamed) -> Iterator[Group]:
    """Yield all samples of a set in batches; of a streamed one, some."""
    if isinstance(samples, SampleSet):
        yield from samples.groups(_BATCH_PIXELS)
        return
    count = _count(samples)
    steps = max(1, count * samples.pixels // _BATCH_PIXELS)
    yield from (group for group in samples.draws(0, count, steps, 0, 1) if group is not None)


def _of_group(group: Group, each: int, rng: np.random.Generator) -> tuple[Array, Array]:
    fine, mask = crop(group.fine, group.radius), group.mask
    if group.label == "cell_mean":
        weight = mask.unsqueeze(1) / mask.sum(dim=(1, 2)).clamp(min=1).view(-1, 1, 1, 1)
        return (fine * weight).sum(dim=(2, 3)).numpy(), group.target.numpy()
    target = group.target.masked_fill(~mask.unsqueeze(1), float("nan")).flatten(2)
    size = target.shape[2]
    if each >= size:
        chosen = torch.arange(size).expand(len(target), size)
    else:
        chosen = torch.from_numpy(rng.integers(0, size, (len(target), each)))
    x, y = (_picked(values, chosen) for values in (fine.flatten(2), target))
    known = np.isfinite(y).any(axis=1)
    return x[known], y[known]


def _picked(values: torch.Tensor, chosen: torch.Tensor) -> Array:
    """Return the chosen pixels of ``(n, feature, pixel)`` as rows."""
    index = chosen.unsqueeze(1).expand(-1, values.shape[1], -1)
    return values.gather(2, index).movedim(1, 2).reshape(-1, values.shape[1]).numpy()
