"""Standardised drivers and targets: centred, scaled, clipped, and 0 where missing."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

CLIP = 4.0
"""Drivers beyond so many standard deviations are taken as just so far: finer pixels reach further than training did."""


@dataclass(frozen=True, eq=False)
class Scaler:
    """Mean and standard deviation of some features.

    Parameters
    ----------
    mean, std : Tensor
        float32, one value per feature.
    """

    mean: Tensor
    std: Tensor

    @classmethod
    def of(cls, mean: list[float], std: list[float]) -> Scaler:
        """Return the scaler of plain numbers."""
        return cls(torch.tensor(mean, dtype=torch.float32), torch.tensor(std, dtype=torch.float32))

    def to(self, device: torch.device | str) -> Scaler:
        """Return the same scaler on another device."""
        return Scaler(self.mean.to(device), self.std.to(device))

    def forward(self, values: Tensor, axis: int) -> Tensor:
        """Return values in standard deviations from the mean, clipped; missing ones are 0, the mean."""
        shape = [1] * values.dim()
        shape[axis] = len(self.mean)
        out = (values - self.mean.view(shape)).mul_(1 / self.std.view(shape))
        return out.nan_to_num_(0.0, CLIP, -CLIP).clamp_(-CLIP, CLIP)
