"""Streaming: the samples that a direct read gives, each shard read once, whichever way the work is shared."""

from __future__ import annotations

import pickle
import threading

import dask
import numpy as np
import pytest
import torch

from smdown.training import TrainingConfig, train
from smdown.training.assemble import assemble
from smdown.training.blocks import cut, read_block
from smdown.training.choose import Wanted
from smdown.training.collect import collect, read
from smdown.training.data import Samples, TrainBatches
from smdown.training.reading import plan_reading, unit_bytes
from smdown.training.samples import Request
from smdown.training.stream import Streamed

CELLS = {"kind": "cell_mean", "source": "smap"}
CUBIC = {"kind": "cubic", "source": "smap"}
GRIDDED = {"kind": "gridded", "source": "finer", "variables": {"sm_rootzone": "sm_rootzone"}}
STATIONS = {"kind": "stations", "source": "stations"}
RADIUS = 2


@pytest.fixture(autouse=True)
def _small_units(monkeypatch):
    monkeypatch.setattr("smdown.training.reading.SHARD_CELLS", 2)
    monkeypatch.setattr("smdown.training.reading.MOST_DAYS", 4)


def config(*labels, **changes):
    values = {"labels": list(labels) or [CELLS, STATIONS], "resolutions": [1000, 250], "feeding": "stream"}
    values |= {"max_days": 10, "station_samples": 40, "batch_pixels": 3000, "pixels_per_epoch": 9000}
    return TrainingConfig(**(values | {"sequence_step": 1} | changes))


def collected(region, settings):
    return collect(settings, region.context(""), region, region.station_data(), RADIUS, lambda *_: None)


def streamed(data):
    return [samples for samples in data.training if isinstance(samples, Streamed)]


class Counting:
    """The region, and a note of every window that is read of it."""

    def __init__(self, region):
        self.region, self.windows = region, []
        self.spec = region.spec

    def __getattr__(self, name):
        return getattr(self.region, name)

    def static(self, grid, window, names=None):
        if threading.current_thread().name == "smdown-reader":
            self.windows.append((grid.ratio, window))
        return self.region.static(grid, window, names)


@pytest.mark.parametrize("label", [CELLS, CUBIC, GRIDDED])
def test_samples_are_those_of_a_direct_read_bit_for_bit(region, label, monkeypatch):
    monkeypatch.setattr("smdown.training.index.PATCH", 20)
    monkeypatch.setattr("smdown.training.choose.PATCH", 20)
    data = collected(region, config(label))
    scalers = data.fine, data.sequence, data.target
    for samples in streamed(data):
        index, recipe = samples.index, samples.recipe
        patches = index.locate(index.at(np.arange(0, len(index), 7)))
        blocks = {u: read_block(recipe, region, index.unit(u)) for u in np.unique(patches.unit).tolist()}
        found = cut(recipe, index, patches, blocks, RADIUS)
        request = Request(index.ratio, patches.corner, index.size, RADIUS, patches.day, patches.cells)
        none = np.full((len(patches), 2), 1.0, np.float32)
        for i, (cell, day) in enumerate(zip(patches.cells, patches.day, strict=True)):
            at = int(np.flatnonzero((data.labels.cells == cell).all(axis=1))[0])
            y, x = data.labels.cells[at] - (region.cells.y0, region.cells.x0)
            for n, name in enumerate(("sm_surface", "sm_rootzone")):
                time = np.datetime64(data.labels.days[day], "ns")
                none[i, n] = region.coarse("smap", name, region.cells, time)[y, x]
        every = np.zeros(len(patches), bool)
        wanted = Wanted(recipe.label, recipe.resolution, request, none, np.full(len(patches), -1), every)
        found_directly = read([wanted], region.context(""), region, data.labels.days, index.cells, lambda *_: None)
        direct = assemble(found_directly, recipe.context, scalers)
        expected = direct[0][0].group(torch.arange(len(patches)))
        for name in ("fine", "mask", "target"):
            one, two = getattr(found, name), getattr(expected, name)
            assert (
                torch.equal(one.nan_to_num(9), two.nan_to_num(9)) if one.is_floating_point() else torch.equal(one, two)
            )
        assert torch.equal(found.sequence, expected.sequence)
        for one, two in zip(vars(found.place).values(), vars(expected.place).values(), strict=True):
            assert torch.equal(one, two)
        assert found.target.isfinite().any()
        assert (label == GRIDDED) == (not found.target[:, 0].isfinite().any())


def epoch(samples, settings, number, rank=0, world=1):
    batches = TrainBatches(samples, settings, 5, epoch=number, rank=rank, world=world)
    return list(batches)


def equal(one, two):
    return (
        one.label == two.label and one.resolution == two.resolution and one.weight == two.weight
        and torch.equal(one.fine, two.fine) and torch.equal(one.target.nan_to_num(), two.target.nan_to_num())
    )  # fmt: skip


def test_each_shard_is_read_once_a_pass_and_never_again_where_it_fits_in_memory(region):
    loader = Counting(region)
    settings = config(pixels_per_epoch=10**9)
    data = collect(settings, region.context(""), loader, region.station_data(), RADIUS, lambda *_: None)
    units = sum(samples.index.n_units for samples in streamed(data))
    loader.windows.clear()
    for number in range(3):
        seen = sum(
            len(g.target) for step in epoch(data.training, settings, number) for g in step if g.label == "cell_mean"
        )
        assert seen == sum(len(samples) for samples in streamed(data))
    assert len(loader.windows) == units > 2


def test_what_does_not_fit_is_read_once_a_pass(region):
    settings = config(CELLS, pixels_per_epoch=10**9, memory=1e-9)
    loader = Counting(region)
    data = collect(settings, region.context(""), loader, None, RADIUS, lambda *_: None)
    units = sum(samples.index.n_units for samples in streamed(data))
    assert units > 100
    loader.windows.clear()
    epoch(data.training, settings, 0)
    assert units <= len(loader.windows) <= units + 2 * len(streamed(data))  # those of the next pass are on their way
    shelf = streamed(data)[0].shelf
    assert len(shelf._blocks) < 12


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_part_every_step_of_one_process(region, world):
    data, settings = collected(region, config()), config()
    for number in (0, 3):
        whole = epoch(data.training, settings, number)
        parts = [epoch(data.training, settings, number, rank, world) for rank in range(world)]
        for step, *shares in zip(whole, *parts, strict=True):
            for group, *mine in zip(step, *shares, strict=True):
                for rank, part in enumerate(mine):
                    for name in ("fine", "sequence", "mask"):
                        assert torch.equal(getattr(part, name), getattr(group, name)[rank::world])
                    assert part.weight == group.weight
                    assert len(part.place.y_weight) == len(part.target)


def test_an_epoch_is_the_same_whatever_came_before(region):
    settings = config()
    one, two = collected(region, settings), collected(region, settings)
    for number in range(4):
        last = epoch(one.training, settings, number)
    fresh = epoch(two.training, settings, 3)
    assert all(equal(a, b) for x, y in zip(last, fresh, strict=True) for a, b in zip(x, y, strict=True))
    other = epoch(two.training, settings, 2)
    assert not all(equal(a, b) for x, y in zip(last, other, strict=True) for a, b in zip(x, y, strict=True))


def test_nothing_is_validated_on_that_was_trained_on(region):
    data = collected(region, config(hold_out_days=0.2, embargo_days=20, max_days=30, validation_fraction=0.3))
    training = {tuple(c) for samples in streamed(data) for c in samples.index.cells.tolist()}
    held = [samples for samples in data.validation if samples.pixels > 1]
    assert held
    assert not training & {tuple(c) for samples in held for c in samples.cells.tolist()}
    assert training == {tuple(c) for c in data.labels.cells[~data.roles.validation_cell].tolist()}
    last = max(max(samples.recipe.days) for samples in streamed(data))
    first = min(np.array(data.labels.days)[data.labels.period.validation])
    assert (np.datetime64(first) - np.datetime64(last)).astype(int) >= 20


def test_no_dask_is_woken(region):
    def refuse(*_args, **_keywords):
        raise AssertionError("a Dask graph was computed")

    settings = config(CELLS, CUBIC, STATIONS)
    with dask.config.set(scheduler=refuse):
        data = collected(region, settings)
        assert epoch(data.training, settings, 0)
        assert data.validation


def test_an_error_in_the_background_comes_forward(region):
    class Broken(type(region)):
        def dynamic(self, grid, window, day):
            if threading.current_thread().name == "smdown-reader":
                raise OSError("disk gone")
            return super().dynamic(grid, window, day)

    broken = Broken()
    settings = config(CELLS)
    data = collect(settings, broken.context(""), broken, None, RADIUS, lambda *_: None)
    with pytest.raises(OSError, match="disk gone"):
        epoch(data.training, settings, 0)
    assert not any(thread.name == "smdown-batches" for thread in threading.enumerate())


def test_leaving_an_epoch_early_ends_its_thread(region):
    settings = config()
    steps = iter(TrainBatches(collected(region, settings).training, settings, 0))
    next(steps)
    steps.close()
    assert not any(thread.name == "smdown-batches" for thread in threading.enumerate())


def test_what_streams_travels_to_other_processes(region):
    settings = config()
    data = collected(region, settings)
    epoch(data.training, settings, 0)
    there = pickle.loads(pickle.dumps(data))
    one, two = epoch(data.training, settings, 1), epoch(there.training, settings, 1)
    assert all(equal(a, b) for x, y in zip(one, two, strict=True) for a, b in zip(x, y, strict=True))


def test_a_unit_takes_no_more_memory_than_planned(region):
    data = collected(region, config())
    for samples in streamed(data):
        plan = plan_reading(samples.recipe.context, samples.index.ratio, RADIUS, 10, 2**40)
        for u in range(samples.index.n_units):
            block = read_block(samples.recipe, region, samples.index.unit(u))
            assert block.nbytes <= plan.unit_bytes + 4 * block.label.size
    context = region.context("")
    small = plan_reading(context, 36, RADIUS, 10, 10**6)
    assert 2 * small.unit_bytes <= 10**6
    assert small.unit_bytes == unit_bytes(context, 36, RADIUS, small.shard_cells, small.days_per_unit)


def test_memory_is_chosen_where_samples_fit(region):
    few = collected(region, config(feeding="auto"))
    assert not streamed(few)
    assert streamed(collected(region, config(feeding="auto", memory=1e-4)))


def test_a_streamed_training_learns_what_one_from_memory_does(region, tmp_path):
    scores = []
    for feeding in ("memory", "stream"):
        settings = config(
            feeding=feeding, networks={"dnn": {"hidden": [24]}, "lstm": {"hidden": 4, "width": 8}}, epochs=4,
            batch_pixels=600, sequence_step=3,
        )  # fmt: skip
        bundle = train(settings, region.context(str(tmp_path / feeding)), loader=region, stations=region.station_data())
        scores.append(bundle.card.metrics["sm_surface"]["cell_mean"]["ensemble"]["rmse"])
        assert np.isfinite(bundle.card.metrics["sm_surface"]["stations"]["ensemble"]["rmse"])
    assert scores[1] < 1.25 * scores[0]


def test_samples_of_a_lightning_module_are_cropped_to_its_radius(region):
    data = collected(region, config())
    fine = next(iter(Samples(data, 0, config(), 0).train_dataloader()))[0].fine
    assert fine.shape[-1] == 9
