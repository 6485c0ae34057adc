from __future__ import annotations

import dataclasses
import random

import numpy as np
import pytest
import xarray as xr

from smdown.cubes import open_cube
from smdown.errors import BundleError, CubeError
from smdown.grid import Tile, Window
from smdown.inference import predict
from smdown.inference.mosaic import FARTHEST, Flag
from smdown.inference.outline import Outline
from smdown.inference.tile import TilePredictor
from tests.inference.fakes import CELLS, DAYS, NAMES, FakeDrivers, FakeEnsemble, engine, job

DAY = np.datetime64(DAYS[0], "ns")


@pytest.fixture
def run(monkeypatch):
    """Predict a whole job with fakes; return its cube."""

    def _run(the_job, the_engine=None, shuffle=0):
        fake = the_engine or engine()
        monkeypatch.setattr(predict, "engine_of", lambda *_: fake)
        monkeypatch.setattr(predict, "outline_of", lambda job, _: Outline.of(job, fake))
        plan = predict.predict_plan(the_job, "f1")
        tasks = list(plan.tasks)
        random.Random(shuffle).shuffle(tasks)
        receipts = [plan.run(task) for task in tasks]
        return open_cube(the_job.mosaic_url), receipts, plan

    return _run


def whole(the_job, the_engine=None, day=DAY):
    tile = Tile(0, 0, the_job.grid.cells, the_job.grid.ratio)
    return TilePredictor(the_job, tile, the_engine or engine()).day(day)


def by_tiles(the_job, the_engine=None):
    parts = []
    for tile in the_job.grid.tiles(the_job.cells_per_tile):
        parts.append((tile, TilePredictor(the_job, tile, the_engine or engine()).day(DAY)))
    out = np.full((2, *the_job.grid.shape), np.nan, dtype=np.float32)
    for tile, maps in parts:
        out[(slice(None), *tile.core.relative_to(the_job.grid.window).slices)] = maps.mean
    return out


@pytest.mark.parametrize("cells_per_tile", [1, 2, 3, 7])
@pytest.mark.parametrize("constraint", ["logit", "none"])
def test_tiles_equal_the_whole(tmp_path, cells_per_tile, constraint):
    the_job = job(tmp_path, cells_per_tile=cells_per_tile, constraint=constraint)
    assert np.abs(by_tiles(the_job) - whole(the_job).mean).max() < 1e-6


def test_a_halo_one_pixel_short_shows(tmp_path):
    the_job = job(tmp_path, cells_per_tile=1, constraint="none")
    short = engine(ensemble=FakeEnsemble(radius=2, reach=3))
    assert np.nanmax(np.abs(by_tiles(the_job, short) - whole(the_job, short).mean)) > 1e-3


def test_blocks_inside_a_tile_do_not_show(tmp_path, monkeypatch):
    the_job = job(tmp_path, cells_per_tile=5)
    expected = whole(the_job)
    monkeypatch.setattr("smdown.inference.blocks.blocks.__defaults__", (12,))
    maps = whole(the_job)
    for name in ("mean", "std"):
        assert np.abs(getattr(maps, name) - getattr(expected, name)).max() < 1e-6
    assert (maps.flags == expected.flags).all()


def _bytes(root):
    return {p.relative_to(root): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def test_the_order_of_tiles_leaves_the_same_bytes(tmp_path, run):
    for shuffle in (1, 2):
        run(job(tmp_path / str(shuffle), members_url=str(tmp_path / str(shuffle) / "members.zarr")), shuffle=shuffle)
    first, second = _bytes(tmp_path / "1"), _bytes(tmp_path / "2")
    assert len(first) > 50
    assert first == second


def test_cell_means_hold_on_disk(tmp_path, run):
    the_job = job(tmp_path, members_url=str(tmp_path / "members.zarr"))
    cube, receipts, _ = run(the_job)
    members = open_cube(the_job.members_url)
    assert set(members.variables) == {
        f"{layer}_{m}{end}" for layer in ("sm_surface", "sm_rootzone") for m in ("cnn", "lstm") for end in ("", "_std")
    }
    assert sum(r.pixels for r in receipts) == cube.raster.window.size * len(DAYS)
    for layer, variable in (("sm_surface", "surface"), ("sm_rootzone", "rootzone")):
        coarse = FakeDrivers().coarse("smap", variable, CELLS, DAY)
        for source, name in ((cube, layer), (members, f"{layer}_cnn"), (members, f"{layer}_lstm")):
            values = source.read(name, cube.raster.window).astype(np.float64)
            means = values.reshape(3, 5, 12, 3, 12).mean(axis=(2, 4))
            assert np.abs(means - coarse).max() < 1e-4
            std = members.read(f"{layer}_cnn_std", cube.raster.window)
            assert std.min() >= np.hypot(0.01, 0.03) - 1e-4  # network and coarse product
    assert not cube.read("flags", cube.raster.window).any()
    assert cube.read("sm_surface", cube.raster.window).min() >= 0.02 - 1e-8


def test_standard_deviation_joins_network_and_coarse_product(tmp_path):
    maps = whole(job(tmp_path, constraint="none"))
    assert maps.std[0].min() > np.hypot(0.03, 0.01) - 1e-6
    assert maps.std[1].min() > 0.4  # read from the product, cell by cell
    assert maps.std[1].max() < 0.5


def test_missing_coarse_values_stay_missing(tmp_path, run):
    drivers = FakeDrivers(missing_coarse=frozenset({(400, 800), (404, 802)}), missing_days=frozenset({DAYS[1]}))
    cube, _, _ = run(job(tmp_path), engine(drivers))
    values = cube.read("sm_surface", cube.raster.window)
    flags = cube.read("flags", cube.raster.window)
    expected = np.zeros((3, 60, 36), dtype=bool)
    expected[:, :12, :12] = expected[:, 48:, 24:] = expected[1] = True
    assert (np.isnan(values) == expected).all()
    assert (np.isnan(cube.read("sm_surface_std", cube.raster.window)) == expected).all()
    assert ((flags & Flag.COARSE_MISSING > 0) == expected).all()
    assert cube.complete


@pytest.mark.parametrize("cells_per_tile", [1, 2, 3])
def test_what_is_said_of_missing_cells_does_not_depend_on_tiles(tmp_path, cells_per_tile):
    the_job = job(tmp_path, cells_per_tile=cells_per_tile)
    hole = the_job.grid.window.expand(-2)
    drivers = FakeDrivers(missing_coarse=frozenset({(401, 801), (404, 802)}), holes={"ndvi": hole, "sand": hole})
    the_engine = dataclasses.replace(engine(drivers), applicability=Far())
    expected = whole(the_job, the_engine)
    for tile in the_job.grid.tiles(cells_per_tile):
        maps, part = TilePredictor(the_job, tile, the_engine).day(DAY), tile.core.relative_to(the_job.grid.window)
        np.testing.assert_array_equal(maps.flags, expected.flags[part.slices])
        np.testing.assert_array_equal(maps.dissimilarity, expected.dissimilarity[part.slices])


def test_a_tile_without_coarse_values_reads_no_drivers(tmp_path):
    drivers = FakeDrivers(missing_days=frozenset(DAYS))
    maps = whole(job(tmp_path), engine(drivers))
    assert not drivers.calls
    assert (maps.flags == Flag.COARSE_MISSING).all()


def test_static_drivers_are_read_once_for_all_days(tmp_path, run):
    drivers = FakeDrivers()
    _, receipts, _ = run(job(tmp_path), engine(drivers))
    reads = [kind for kind, _ in drivers.calls]
    assert reads.count("static") == len(receipts) == 6
    assert reads.count("dynamic") == 6 * len(DAYS)


def test_required_drivers_decide_and_optional_ones_are_flagged(tmp_path):
    grid = job(tmp_path).grid
    y0, x0 = grid.window.y0, grid.window.x0
    drivers = FakeDrivers(holes={
        "sand": Window(y0 + 2, y0 + 5, x0 + 3, x0 + 9),
        "ndvi": Window(y0 + 4, y0 + 20, x0 + 8, x0 + 30),
    })  # fmt: skip
    maps = whole(job(tmp_path), engine(drivers))
    missing = np.zeros(grid.shape, dtype=bool)
    missing[2:5, 3:9] = True
    imputed = np.zeros(grid.shape, dtype=bool)
    imputed[4:20, 8:30] = True
    assert (np.isnan(maps.mean[0]) == missing).all()
    assert ((maps.flags & Flag.DRIVER_MISSING > 0) == missing).all()
    assert ((maps.flags & Flag.DRIVER_IMPUTED > 0) == imputed & ~missing).all()
    coarse = drivers.coarse("smap", "surface", CELLS, DAY)
    assert abs(np.nanmean(maps.mean[0][:12, :12], dtype=np.float64) - coarse[0, 0]) < 1e-6


class Far:
    """Says that pixels of much sand are unlike the training."""

    threshold = 0.9

    def index(self, fine, margin=0):
        inner = slice(margin, -margin or None)
        sand = fine[NAMES.index("sand"), inner, inner]
        return sand * 40.0 * (sand > 0.5)


def test_what_lies_beyond_the_training_is_said(tmp_path, run):
    the_job = job(tmp_path)
    y0, x0 = the_job.grid.window.y0, the_job.grid.window.x0
    drivers = FakeDrivers(holes={"sand": Window(y0 + 2, y0 + 5, x0 + 3, x0 + 9)}, missing_days=frozenset({DAYS[1]}))
    cube, _, _ = run(the_job, dataclasses.replace(engine(drivers), applicability=Far()))
    data = xr.open_zarr(cube.url)
    assert data.dissimilarity.attrs["threshold"] == 0.9
    sand = drivers.static(the_job.grid, the_job.grid.window)[1]
    wanted = np.where(sand > 0.5, np.minimum(sand * 40, FARTHEST), np.where(np.isnan(sand), np.nan, 0.0))
    np.testing.assert_allclose(data.dissimilarity.isel(time=0), wanted, atol=6e-4)
    np.testing.assert_array_equal((data.flags.isel(time=0) & Flag.EXTRAPOLATED) > 0, sand > 0.5)
    assert data.dissimilarity.isel(time=1).isnull().all()
    assert "dissimilarity" not in run(job(tmp_path / "b"))[0].variables


def test_a_history_without_any_value_is_flagged_as_imputed(tmp_path):
    cells = CELLS.refine(9)
    drivers = FakeDrivers(sequence_hole=Window(cells.y0, cells.y0 + 9, cells.x0, cells.x0 + 9))
    maps = whole(job(tmp_path), engine(drivers))
    imputed = np.zeros(maps.flags.shape, dtype=bool)
    imputed[:12, :12] = True
    assert ((maps.flags == Flag.DRIVER_IMPUTED) == imputed).all()


def test_a_coarse_value_beyond_the_bounds_is_flagged_never_forced(tmp_path, run):
    cube, receipts, _ = run(job(tmp_path), engine(FakeDrivers(coarse_value=0.7)))
    flags = cube.read("flags", cube.raster.window)
    assert (flags == Flag.MEAN_NOT_MET).all()  # 0.7 is beyond the surface's limits, not beyond the root zone's
    surface = cube.read("sm_surface", cube.raster.window)
    assert surface.max() < 0.6
    assert surface.std() > 0.01
    root = cube.read("sm_rootzone", cube.raster.window).astype(np.float64)
    assert np.abs(root.reshape(3, 5, 12, 3, 12).mean(axis=(2, 4)) - 0.7).max() < 1e-4
    assert any("could not be met" in note for r in receipts for note in r.notes)


def test_networks_that_give_no_number_are_refused(tmp_path):
    with pytest.raises(BundleError, match="not finite"):
        whole(job(tmp_path), engine(ensemble=FakeEnsemble(poison=True)))


def test_a_second_plan_holds_only_what_is_left(tmp_path, run, monkeypatch):
    the_job = job(tmp_path, members_url=str(tmp_path / "members.zarr"))
    cube, _, plan = run(the_job)
    assert plan.total == len(plan.tasks) == 6
    again = predict.predict_plan(the_job, "f1")
    assert (again.done, again.tasks) == (6, ())
    cube.array("receipts")[1, 1] = 0
    left = predict.predict_plan(the_job, "f1")
    assert [task.key for task in left.tasks] == ["predict-r0001-c0001"]
    with pytest.raises(CubeError, match="fingerprint"):
        predict.predict_plan(the_job, "f2")


def test_the_mosaic_opens_with_plain_xarray(tmp_path, run):
    the_job = job(tmp_path)
    cube, _, _ = run(the_job)
    with xr.open_zarr(the_job.mosaic_url) as data:
        assert dict(data.sizes) == {"time": 3, "y": 60, "x": 36} | {k: v for k, v in data.sizes.items() if "tile" in k}
        assert np.allclose(data["sm_surface"].values, cube.read("sm_surface", cube.raster.window), atol=1e-7)
        assert data["flags"].attrs["flag_meanings"].split()[2] == "cell_mean_not_met"
        assert data["flags"].attrs["flag_masks"] == [1, 2, 4, 8, 16]
        assert data["sm_surface"].attrs["units"] == "m3 m-3"
        assert data.attrs["constraint"] == "logit"
