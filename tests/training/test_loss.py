"""The losses against their formulas."""

from __future__ import annotations

import math

import torch
from hypothesis import given
from hypothesis import strategies as st

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


anything = st.floats(allow_nan=True, allow_infinity=True, width=32)
sane = st.floats(-5, 5, width=32)


@st.composite
def fields(draw):
    """Return mean, log-variance and target ``(n, layer, y, x)`` and a mask; what is masked may hold anything."""
    shape = tuple(draw(st.integers(1, 3)) for _ in range(4))
    count = math.prod(shape)
    mask = torch.tensor(draw(st.lists(st.booleans(), min_size=count, max_size=count))).view(shape)[:, 0]
    known = mask.unsqueeze(1).expand(shape)

    def values():
        good = torch.tensor(draw(st.lists(sane, min_size=count, max_size=count))).view(shape)
        bad = torch.tensor(draw(st.lists(anything, min_size=count, max_size=count))).view(shape)
        return torch.where(known, good, bad)

    return values(), values(), torch.where(known, values(), torch.nan), mask


@given(fields(), st.sampled_from([0.0, 0.5, 1.0]))
def test_masked_pixels_have_no_gradient_and_no_say(case, beta):
    mean, log_variance, target, _ = case
    mean, log_variance = mean.requires_grad_(), log_variance.requires_grad_()
    loss = beta_nll(mean, log_variance, target, beta)
    loss.backward()
    known = torch.isfinite(target)
    for gradient in (mean.grad, log_variance.grad):
        assert (gradient[~known] == 0).all()
        assert torch.isfinite(gradient).all()
    rest = beta_nll(mean.detach()[known], log_variance.detach()[known], target[known], beta)
    torch.testing.assert_close(loss.detach(), rest, rtol=1e-4, atol=1e-5)


@given(fields())
def test_masked_pixels_have_no_say_in_the_moments_of_a_cell(case):
    mean, log_variance, _, mask = case
    mean, log_variance = mean.requires_grad_(), log_variance.requires_grad_()
    moments = cell_moments(mean, log_variance, mask)
    (moments[0].sum() + moments[1].sum()).backward()
    hidden = ~mask.unsqueeze(1).expand(mean.shape)
    for gradient in (mean.grad, log_variance.grad):
        assert (gradient[hidden] == 0).all()
        assert torch.isfinite(gradient).all()
    for n in range(len(mean)):
        if mask[n].any():
            torch.testing.assert_close(moments[0][n], mean[n][:, mask[n]].mean(dim=1), rtol=1e-4, atol=1e-5)


@given(fields(), st.integers(1, 5), st.sampled_from([0.0, 0.5]))
def test_parts_divided_by_the_count_of_all_add_up(case, parts, beta):
    mean, log_variance, target, _ = case
    count = torch.isfinite(target).sum()
    pieces = zip(*(t.reshape(-1).tensor_split(parts) for t in (mean, log_variance, target)), strict=True)
    total = sum(beta_nll(m, v, t, beta, count) for m, v, t in pieces)
    torch.testing.assert_close(total, beta_nll(mean, log_variance, target, beta), rtol=1e-4, atol=1e-5)
