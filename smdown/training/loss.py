"""Gaussian losses over cells and pixels."""

from __future__ import annotations

import torch
from torch import Tensor


def beta_nll(
    mean: Tensor, log_variance: Tensor, target: Tensor, beta: float, count: Tensor | int | None = None
) -> Tensor:
    """Return the Gaussian negative log-likelihood, weighted by the variance to the power `beta` (Seitzer et al. 2022).

    Parameters
    ----------
    mean, log_variance, target : Tensor
        Of one shape; where the target is NaN nothing counts, whatever the others are there.
    beta : float
        0 is the plain likelihood; 1 gives the mean the gradient of a squared error.
    count : int or Tensor, optional
        What the sum is divided by; by default the number of finite targets.

    Returns
    -------
    Tensor
        Mean over all finite targets; 0 if there are none.
    """
    known = torch.isfinite(target)
    error = torch.where(known, mean - target.nan_to_num(), 0.0)
    log_variance = torch.where(known, log_variance, 0.0)
    loss = 0.5 * (error**2 * torch.exp(-log_variance) + log_variance)
    weight = known * torch.exp(beta * log_variance.detach())
    return (loss * weight).sum() / torch.as_tensor(known.sum() if count is None else count).clamp(min=1)


def cell_moments(mean: Tensor, log_variance: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean over each sample's valid pixels, and the log of the mean variance, ``(batch, layer)``.

    Parameters
    ----------
    mean, log_variance : Tensor
        ``(batch, layer, y, x)``; what stands in pixels that are not valid does not matter.
    mask : Tensor
        bool, ``(batch, y, x)``: valid pixels.
    """
    valid = mask.unsqueeze(1)
    weight = valid / mask.sum(dim=(1, 2)).clamp(min=1).view(-1, 1, 1, 1)
    variance = torch.exp(log_variance.masked_fill(~valid, 0.0))
    variance = (variance * weight).sum(dim=(2, 3)).clamp(min=1e-12)
    return (mean.masked_fill(~valid, 0.0) * weight).sum(dim=(2, 3)), torch.log(variance)
