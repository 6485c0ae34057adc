"""From what was read to sample sets: holes masked, standardised, parted by role."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from smdown.errors import InputError
from smdown.training.blocks import MINIMUM_VALID
from smdown.training.choose import Wanted
from smdown.training.context import Field, TrainContext
from smdown.training.groups import SampleSet
from smdown.training.moments import Moments
from smdown.training.samples import Drivers
from smdown.training.standardise import Scaler

Read = list[tuple[Wanted, Drivers, Field]]
Scalers = tuple[Scaler, Scaler, Scaler]
"""Of all drivers, of the sequence, of the layers."""


def assemble(
    read: Read, context: TrainContext, scalers: Scalers | None = None
) -> tuple[list[SampleSet], list[SampleSet], Scalers]:
    """Drop samples whose drivers or targets are missing, standardise, and part the roles.

    Parameters
    ----------
    scalers : tuple of Scaler, optional
        Statistics; those of the training samples by default.

    Raises
    ------
    InputError
        If statistics are wanted and no training sample is left.
    """
    masks = [_valid(drivers.fine, wanted.request.radius, context) for wanted, drivers, _ in read]
    keeps = [
        (mask.mean(axis=(1, 2)) >= MINIMUM_VALID) & np.isfinite(values.reshape(len(values), -1)).any(axis=1)
        for mask, (_, _, values) in zip(masks, read, strict=True)
    ]
    if scalers is None:
        chunks = zip(keeps, read, strict=True)
        scalers = scalers_of([moments_of(d, y, keep & ~wanted.validation) for keep, (wanted, d, y) in chunks])
    sets: tuple[list[SampleSet], list[SampleSet]] = ([], [])
    for (wanted, drivers, values), mask, keep in zip(read, masks, keeps, strict=True):
        whole = _tensors(wanted, drivers, values, mask, scalers)
        for role, into in enumerate(sets):
            index = np.flatnonzero(keep & (wanted.validation == bool(role)))
            if len(index):
                into.append(whole.take(torch.from_numpy(index)))
        drivers.fine = drivers.sequence = np.empty(0, dtype=np.float32)
    return *sets, scalers


Chunk = tuple[Moments, Moments, Moments]
"""Of all drivers, of the sequence, of the layers."""


def moments_of(drivers: Drivers, values: Field, some: npt.NDArray[np.bool_]) -> Chunk:
    """Return the statistics of some samples of one label and resolution."""
    return (
        Moments.of(drivers.fine[some].swapaxes(0, 1)),
        Moments.of(drivers.sequence[some].transpose(2, 0, 1, 3, 4)),
        Moments.of(values[some].swapaxes(0, 1)),
    )


def scalers_of(chunks: list[Chunk]) -> Scalers:
    """Return the statistics of all labels and resolutions, each of which weighs the same.

    Raises
    ------
    InputError
        If there is no sample in any.
    """
    if not any(fine.count.any() for fine, _, _ in chunks):
        raise InputError(
            "got no sample with all required drivers; look at the drivers' sources over the extent and period, "
            "or mark some as required: false"
        )
    fine, sequence, target = (_scaler([chunk[part] for chunk in chunks]) for part in range(3))
    return fine, sequence, target


def _scaler(chunks: list[Moments]) -> Scaler:
    moments = Moments.zero(len(chunks[0].count))
    for chunk in chunks:
        moments = moments + chunk.scaled()
    return Scaler.of(moments.mean.tolist(), moments.std.tolist())


def _valid(fine: Field, radius: int, context: TrainContext) -> npt.NDArray[np.bool_]:
    """Return ``(n, y, x)``: whether all required drivers are there."""
    required = [n for n, driver in enumerate(context.spec.drivers) if getattr(driver, "required", True)]
    core = fine[:, required, radius : fine.shape[2] - radius, radius : fine.shape[3] - radius]
    return np.asarray(np.isfinite(core).all(axis=1))


def _tensors(
    wanted: Wanted, drivers: Drivers, values: Field, mask: npt.NDArray[np.bool_], scalers: Scalers
) -> SampleSet:
    fine, sequence, target = scalers
    request = wanted.request
    y_index, y_weight, x_index, x_weight = (torch.from_numpy(a) for a in drivers.place)
    return SampleSet(
        wanted.label.kind, wanted.resolution, request.ratio, request.radius, wanted.label.weight,
        fine.forward(torch.from_numpy(drivers.fine), 1),
        sequence.forward(torch.from_numpy(drivers.sequence), 2),
        y_index, y_weight, x_index, x_weight,
        centred(torch.from_numpy(values), target), torch.from_numpy(mask),
        torch.from_numpy(request.cells), torch.from_numpy(request.day), torch.from_numpy(wanted.station),
    )  # fmt: skip


def centred(values: Tensor, target: Scaler) -> Tensor:
    """Return targets ``(n, layer, ...)`` in standard deviations from the mean; not clipped, NaN where missing."""
    shape = (1, -1) + (1,) * (values.dim() - 2)
    return (values - target.mean.view(shape)) / target.std.view(shape)
