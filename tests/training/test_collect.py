"""Samples in memory: the right drivers at the right place, and nothing of the wrong role."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from smdown.errors import InputError
from smdown.grid import EASE2_M09, NestedGrid, Window
from smdown.training import TrainingConfig
from smdown.training.collect import collect, spread
from smdown.training.data import TrainBatches
from smdown.training.samples import coarsened

LABELS = [{"kind": "cell_mean", "source": "smap"}, {"kind": "stations", "source": "stations"}]


def config(**changes):
    values = {"labels": LABELS, "resolutions": [1000, 250], "samples_per_resolution": {1000: 60, 250: 20}}
    return TrainingConfig(**(values | {"station_samples": 40, "max_days": 8} | changes))


@pytest.fixture(scope="module")
def data(region):
    return collect(config(), region.context(""), region, region.station_data(), 2, lambda *_: None)


def restored(samples, data, i):
    fine = samples.fine[i] * data.fine.std.view(-1, 1, 1) + data.fine.mean.view(-1, 1, 1)
    clipped = samples.fine[i].abs() >= 4
    return fine.numpy(), clipped.numpy()


def test_every_sample_holds_the_drivers_of_its_place_and_day(region, data):
    for samples in data.training + data.validation:
        grid = NestedGrid(EASE2_M09, region.cells, samples.ratio)
        for i in range(0, len(samples), 7):
            y, x = samples.cells[i].tolist()
            if samples.label == "stations":
                y, x = data.labels.stations.pixels(grid)[int(samples.station[i])].tolist()
                core = Window(y, y + 1, x, x + 1)
            else:
                core = Window(y, y + 1, x, x + 1).refine(samples.ratio)
            day = np.datetime64(data.labels.days[int(samples.day[i])], "ns")
            expected = region.load(grid, core.expand(samples.radius), day)
            found, clipped = restored(samples, data, i)
            inside = core.expand(samples.radius).intersect(grid.window)
            ys, xs = inside.relative_to(core.expand(samples.radius)).slices
            known = ~clipped[:, ys, xs]
            np.testing.assert_allclose(found[:, ys, xs][known], expected[:, ys, xs][known], rtol=1e-4, atol=1e-3)


def test_sequences_are_read_where_the_station_lies(region, data):
    samples = next(s for s in data.training if s.label == "stations" and s.resolution == 1000)
    for i in range(0, len(samples), 5):
        grid = NestedGrid(EASE2_M09, region.cells, 9)
        y, x = data.labels.stations.pixels(grid)[int(samples.station[i])]
        day = np.datetime64(data.labels.days[int(samples.day[i])], "ns")
        first = region.cells.refine(9).expand(1)
        series = region.sequence(region.cells, day)[:, 0, y - first.y0, x - first.x0]
        found = samples.sequence[i, :, 0, 0, 0] * data.sequence.std + data.sequence.mean
        assert float(samples.y_weight[i, 0]) == float(samples.x_weight[i, 0]) == 0
        keep = samples.sequence[i, :, 0, 0, 0].abs() < 4
        np.testing.assert_allclose(found[keep], series[keep.numpy()], rtol=1e-4, atol=1e-3)


def test_targets_are_the_labels(region, data):
    for samples in data.training + data.validation:
        for i in range(0, len(samples), 3):
            day = int(samples.day[i])
            if samples.label == "stations":
                expected = data.labels.stations.values[:, day, int(samples.station[i])]
            else:
                cell = int(np.flatnonzero((data.labels.cells == samples.cells[i].numpy()).all(axis=1))[0])
                expected = data.labels.coarse[:, day, cell]
            found = samples.target[i].reshape(2) * data.target.std + data.target.mean
            np.testing.assert_allclose(found, expected, atol=1e-5)


def test_roles_share_no_cell_and_held_out_stations_are_not_there(data):
    roles, labels = data.roles, data.labels
    training = {tuple(c) for s in data.training for c in s.cells.tolist()}
    validation = {tuple(c) for s in data.validation for c in s.cells.tolist()}
    assert training
    assert validation
    assert not training & validation
    used = {int(n) for s in data.training + data.validation for n in s.station if n >= 0}
    assert not used & set(np.flatnonzero(roles.held_out).tolist())
    held = {tuple(c) for c in labels.stations.cells[roles.held_out].tolist()}
    seen = {tuple(labels.stations.cells[n].tolist()) for n in used}
    assert not held & seen


def test_samples_are_bounded_by_the_configuration(data):
    for resolution, limit in ((1000, 60), (250, 20)):
        for label, most in (("cell_mean", limit), ("stations", 40)):
            sets = [s for s in data.training + data.validation if (s.resolution, s.label) == (resolution, label)]
            assert 0 < sum(len(s) for s in sets) <= most
    assert len(data.labels.days) == 8


def test_pixels_without_a_required_driver_are_masked_and_empty_cells_dropped(region):
    class Holes(type(region)):
        def static(self, grid, window):
            out = super().static(grid, window)
            wet = Window(400, 402, 800, 801).refine(grid.ratio).intersect(window)
            if wet is not None:
                out[(0, *wet.relative_to(window).slices)] = np.nan
            half = Window(400, 401, 803, 804).refine(grid.ratio).intersect(window)
            if half is not None:
                ys, xs = half.relative_to(window).slices
                out[0, ys, xs][:, :2] = np.nan
            return out

    holes = Holes()
    data = collect(config(), holes.context(""), holes, holes.station_data(), 2, lambda *_: None)
    cells = {tuple(c) for s in data.training + data.validation for c in s.cells.tolist() if s.label == "cell_mean"}
    assert not cells & {(400, 800), (401, 800)}
    partly = [
        s.mask[(s.cells == torch.tensor([400, 803])).all(1)] for s in data.training + data.validation if s.pixels > 1
    ]
    masks = torch.cat([m.flatten(1).float().mean(1) for m in partly])
    assert len(masks)
    assert ((masks > 0.7) & (masks < 1)).all()
    assert all(s.fine.isfinite().all() for s in data.training)


def test_no_value_anywhere_is_one_clear_line(region):
    class Empty(type(region)):
        def coarse(self, *args):
            return np.full_like(super().coarse(*args), np.nan)

    empty = Empty()
    cells_only = config(labels=LABELS[:1])
    with pytest.raises(InputError, match="got no value of sm_surface, sm_rootzone"):
        collect(cells_only, empty.context(""), empty, None, 0, lambda *_: None)


def test_batches_of_an_epoch_are_a_function_of_seed_and_epoch(data):
    first, second = (TrainBatches(data.training, config(batch_pixels=500), 3) for _ in range(2))
    for _ in range(2):
        for one, two in zip(first, second, strict=True):
            assert [g.label for g in one] == [g.label for g in two]
            assert all(torch.equal(a.fine, b.fine) for a, b in zip(one, two, strict=True))
    other = TrainBatches(data.training, config(batch_pixels=500), 4)
    assert not torch.equal(next(iter(other))[0].target, next(iter(first))[0].target)


def test_labels_weigh_in_an_epoch_as_configured(data):
    labels = [LABELS[0] | {"weight": 3.0}, LABELS[1]]
    weighted = config(labels=labels, batch_pixels=500)
    total = {"cell_mean": 0.0, "stations": 0.0}
    batches = TrainBatches([s for s in data.training], weighted, 0)  # noqa: C416
    for step in batches:
        for group in step:
            total[group.label] += group.weight
    share = {s.label: s.share for s in data.training}
    assert share == {"cell_mean": 1.0, "stations": 1.0}
    assert total["stations"] == pytest.approx(len(batches), rel=1e-6)
    assert 0 < total["cell_mean"] <= len(batches) + 1e-6


def test_coarsening_a_sequence_keeps_its_mean_and_its_place():
    rng = np.random.default_rng(0)
    series = rng.random((2, 1, 2 * 9 + 2, 9 + 2)).astype(np.float32)
    found = coarsened(series, 3)
    assert found.shape == (2, 1, 2 * 3 + 2, 3 + 2)
    np.testing.assert_allclose(found[..., 1:-1, 1:-1].mean(), series[..., 1:-1, 1:-1].mean(), rtol=1e-6)
    np.testing.assert_allclose(found[0, 0, 1, 2], series[0, 0, 1:4, 4:7].mean(), rtol=1e-6)
    np.testing.assert_allclose(found[0, 0, 0, 1], series[0, 0, 0, 1:4].mean(), rtol=1e-6)


def test_days_are_spread_over_the_period():
    days = tuple(f"d{n}" for n in range(100))
    few = spread(days, 5)
    assert few == ("d0", "d25", "d50", "d74", "d99")
    assert spread(days[:3], 5) == days[:3]
