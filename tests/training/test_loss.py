"""The losses against their formulas."""

from __future__ import annotations

import math

import torch

from smdown.training.loss import beta_nll, cell_moments


def test_without_beta_it_is_the_gaussian_likelihood():
    mean, log_variance, target = (torch.randn(7, 2, generator=torch.Generator().manual_seed(n)) for n in range(3))
    expected = -torch.distributions.Normal(mean, (0.5 * log_variance).exp()).log_prob(target).mean()
    found = beta_nll(mean, log_variance, target, 0.0) + 0.5 * math.log(2 * math.pi)
    torch.testing.assert_close(found, expected)


def test_with_beta_one_the_mean_gets_the_gradient_of_a_squared_error():
    mean = torch.tensor([0.3, -1.0], requires_grad=True)
    beta_nll(mean, torch.tensor([2.0, -3.0]), torch.tensor([0.0, 1.0]), 1.0).backward()
    torch.testing.assert_close(mean.grad, torch.tensor([0.3, -2.0]) / 2)


def test_missing_targets_count_for_nothing():
    mean = torch.tensor([1.0, 5.0], requires_grad=True)
    loss = beta_nll(mean, torch.zeros(2), torch.tensor([0.0, float("nan")]), 0.5)
    loss.backward()
    assert loss.item() == 0.5
    torch.testing.assert_close(mean.grad, torch.tensor([1.0, 0.0]))
    assert beta_nll(mean, torch.zeros(2), torch.full((2,), float("nan")), 0.5).item() == 0


def test_cell_moments_are_over_valid_pixels_only():
    mean = torch.arange(8.0).reshape(1, 2, 2, 2)
    mask = torch.tensor([[[True, False], [False, True]]])
    mu, log_variance = cell_moments(mean, torch.log(mean + 1), mask)
    torch.testing.assert_close(mu, torch.tensor([[1.5, 5.5]]))
    torch.testing.assert_close(log_variance.exp(), torch.tensor([[2.5, 6.5]]))
