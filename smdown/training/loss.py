"""Gaussian losses over cells and pixels."""

from __future__ import annotations

import torch
from torch import Tensor


def beta_nll(mean: Tensor, log_variance: Tensor, target: Tensor, beta: float) -> Tensor:
    """Return the Gaussian negative log-likelihood, weighted by the variance to the power `beta` (Seitzer et al. 2022).

    Parameters
    ----------
    mean, log_variance, target : Tensor
        Of one shape; where the target is NaN nothing counts.
    beta : float
        0 is the plain likelihood; 1 gives the mean the gradient of a squared error.

    Returns
    -------
    Tensor
        Mean over all finite targets; 0 if there are none.
    """
    known = torch.isfinite(target)
    error = torch.where(known, mean - target.nan_to_num(), 0.0)
    loss = 0.5 * (error**2 * torch.exp(-log_variance) + log_variance)
    weight = known * torch.exp(beta * log_variance.detach())
    return (loss * weight).sum() / known.sum().clamp(min=1)


def cell_moments(mean: Tensor, log_variance: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean over each sample's valid pixels, and the log of the mean variance, ``(batch, layer)``.

    Parameters
    ----------
    mean, log_variance : Tensor
        ``(batch, layer, y, x)``.
    mask : Tensor
        bool, ``(batch, y, x)``.
    """
    weight = mask.unsqueeze(1) / mask.sum(dim=(1, 2)).clamp(min=1).view(-1, 1, 1, 1)
    variance = (torch.exp(log_variance) * weight).sum(dim=(2, 3)).clamp(min=1e-12)
    return (mean * weight).sum(dim=(2, 3)), torch.log(variance)
