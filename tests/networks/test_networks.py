"""The networks: shapes, reach, and the recurrence at the pace of its data."""

from __future__ import annotations

import pytest
import torch

from smdown.grid import Window
from smdown.networks import CNN, DNN, LSTM, CNNConfig, DNNConfig, LSTMConfig, Network, build_network
from smdown.networks.placement import placement

CONFIGS = [DNNConfig(hidden=(8, 6)), CNNConfig(channels=5, depth=3), LSTMConfig(hidden=4, width=6)]
CORE = Window(20, 32, 40, 55)


def randomised(config: DNNConfig | CNNConfig | LSTMConfig) -> Network:
    torch.manual_seed(0)
    network = build_network(config, 5, 2, 3).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return network


def inputs(radius: int) -> tuple[torch.Tensor, torch.Tensor, Window]:
    generator = torch.Generator().manual_seed(1)
    sequence = Window(3, 8, 7, 13)
    fine = torch.randn(2, 5, CORE.height + 2 * radius, CORE.width + 2 * radius, generator=generator)
    return fine, torch.randn(2, 6, 2, *sequence.shape, generator=generator), sequence


@pytest.mark.parametrize("config", CONFIGS)
def test_one_mean_and_one_log_variance_per_layer_and_core_pixel(config):
    network = randomised(config)
    fine, sequence, origin = inputs(network.radius)
    mean, log_variance = network(fine, sequence, placement(CORE, 9, (origin.y0, origin.x0), 2))
    assert mean.shape == log_variance.shape == (2, 3, *CORE.shape)
    assert mean.isfinite().all()
    assert log_variance.abs().max() <= 8


@pytest.mark.parametrize("config", CONFIGS)
def test_a_pixel_sees_its_radius_and_no_further(config):
    network = randomised(config)
    r = network.radius
    fine, sequence, origin = inputs(r)
    fine.requires_grad_()
    place = placement(CORE, 9, (origin.y0, origin.x0), 2)
    network(fine, sequence, place)[0][0, :, 5, 6].sum().backward()
    seen = fine.grad[0].abs().sum(0) > 0
    expected = torch.zeros_like(seen)
    expected[5 : 6 + 2 * r, 6 : 7 + 2 * r] = True
    assert not (seen & ~expected).any()
    assert seen[5 + r, 6 + r]
    if r:
        assert seen[5].any()
        assert seen[:, 6 + 2 * r].any()


@pytest.mark.parametrize("config", CONFIGS)
def test_a_window_gives_what_the_whole_gives_there(config):
    network = randomised(config)
    r = network.radius
    fine, sequence, origin = inputs(r)
    first = (origin.y0, origin.x0)
    whole = network(fine, sequence, placement(CORE, 9, first, 2))
    part = Window(23, 29, 44, 49)
    inner = part.relative_to(CORE)
    cut = fine[:, :, inner.y0 : inner.y1 + 2 * r, inner.x0 : inner.x1 + 2 * r]
    for a, b in zip(whole, network(cut, sequence, placement(part, 9, first, 2)), strict=True):
        torch.testing.assert_close(a[(..., *inner.slices)], b, atol=1e-6, rtol=0)


def test_on_the_sequence_grid_the_interpolated_state_is_the_state_of_each_pixel():
    network = randomised(LSTMConfig(hidden=4, width=6))
    assert isinstance(network, LSTM)
    window = Window(30, 34, 50, 53)
    generator = torch.Generator().manual_seed(2)
    sequence = torch.randn(1, 6, 2, 6, 5, generator=generator)
    fine = torch.randn(1, 5, *window.shape, generator=generator)
    mean, _ = network(fine, sequence, placement(window, 9, (29, 49), 9))
    for y in range(window.height):
        for x in range(window.width):
            alone = sequence[:, :, :, y + 1 : y + 3, x + 1 : x + 3]
            spot = Window(30 + y, 31 + y, 50 + x, 51 + x)
            single, _ = network(fine[:, :, y : y + 1, x : x + 1], alone, placement(spot, 9, (30 + y, 50 + x), 9))
            torch.testing.assert_close(mean[:, :, y : y + 1, x : x + 1], single, atol=1e-6, rtol=0)
            other = alone.clone()
            other[:, :, :, 1:], other[:, :, :, :, 1:] = 100.0, 100.0
            same, _ = network(fine[:, :, y : y + 1, x : x + 1], other, placement(spot, 9, (30 + y, 50 + x), 9))
            torch.testing.assert_close(single, same, atol=1e-6, rtol=0)


def test_projecting_before_interpolation_equals_interpolating_before_projection():
    network = randomised(LSTMConfig(hidden=4, width=6))
    assert isinstance(network, LSTM)
    _, sequence, origin = inputs(0)
    place = placement(CORE, 9, (origin.y0, origin.x0), 2)
    from smdown.networks.placement import interpolate

    batch, time, feature, height, width = sequence.shape
    series = sequence.permute(0, 3, 4, 1, 2).reshape(-1, time, feature)
    last = network.recurrence(series)[1][0][0].reshape(batch, height, width, -1).permute(0, 3, 1, 2)
    late = network.projection(interpolate(last, place).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    torch.testing.assert_close(interpolate(network.encode(sequence), place), late, atol=1e-5, rtol=0)


def test_radius_is_the_number_of_convolutions():
    assert CNN(CNNConfig(depth=2), 3, 0, 1).radius == 2
    assert DNN(DNNConfig(), 3, 0, 1).radius == 0
    assert LSTM(LSTMConfig(), 3, 1, 1).radius == 0


@pytest.mark.parametrize("config", CONFIGS)
def test_a_fresh_network_says_zero_so_training_starts_from_the_mean(config):
    network = build_network(config, 5, 2, 3).eval()
    fine, sequence, origin = inputs(network.radius)
    mean, _ = network(fine, sequence, placement(CORE, 9, (origin.y0, origin.x0), 2))
    assert mean.abs().max() < 1.5
    if not isinstance(network, LSTM):
        assert mean.abs().max() == 0
