"""What an evaluation writes beyond its metrics: from files, over any tiling, and beside arrays that are known."""

import dataclasses
import json
import math
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer

from smdown.cubes import CubeSpec, Variable, create_cube, open_cube
from smdown.evaluation import ProductInput, collocation, evaluate_plan, summarise
from smdown.evaluation.consistency import Mass, Seams
from smdown.evaluation.partials import Partial, total
from smdown.evaluation.space.resolution import Scales, figures
from smdown.evaluation.space.spectrum import Spectrum, spectra_of
from smdown.evaluation.stats import Comparison
from smdown.grid import RasterGrid, Window

THRESHOLD = 0.8
MEMBERS = {"ensemble", "dnn", "cnn", "lstm", "mean", "coarse_nearest", "coarse_cubic"}


def smooth(shape, seed):
    y, x = np.meshgrid(*(np.linspace(0, 6, n) for n in shape), indexing="ij")
    return (0.8 + 0.5 * np.sin(x + seed) * np.cos(y)).astype(np.float32)


@pytest.fixture(scope="module")
def whole(template, tmp_path_factory):
    """Return the template's project with a dissimilarity index, holes, and products on other grids; and its path."""
    path = tmp_path_factory.mktemp("findings")
    job, grid = template.job, template.job.grid
    old = open_cube(job.mosaic_url)
    index = Variable("dissimilarity", ("time", "y", "x"), "int16", 1e-3, attrs={"threshold": THRESHOLD})
    spec = dataclasses.replace(old.spec, variables=(*old.spec.variables, index))
    new = create_cube(str(path / "mosaic.zarr"), spec)
    window = new.raster.window
    for i in range(len(job.days)):
        for name in old.variables:
            values = old.read(name, window, i)
            if name == "sm_surface":
                values[40:50, 3:33] = np.nan
            new.write(name, values, window, i)
        new.write("dissimilarity", smooth(window.shape, i), window, i)
    new.finish()
    era, fine = str(path / "era.zarr"), str(path / "fine.zarr")
    _write_era(era, job)
    _write_fine(fine, job, template.fields["truth/sm_surface"])
    variables = (("sm_surface", "swvl1"),)
    return dataclasses.replace(
        job,
        mosaic_url=str(path / "mosaic.zarr"),
        out_url=str(path / "out"),
        references=(ProductInput("tenths", fine, variables, 10), ProductInput("ninths", era, variables, 9)),
        products=(ProductInput("era", era, variables),),
    ), grid


def _write_era(url, job):
    """Write a product on longitudes and latitudes that covers the region."""
    raster = job.grid.raster
    transformer = Transformer.from_crs(job.grid.crs, "EPSG:4326", always_xy=True)
    (west, east), (north, south) = transformer.transform(
        [raster.x0, raster.x0 + raster.width * raster.dx], [raster.y0, raster.y0 + raster.height * raster.dy]
    )
    own = RasterGrid("EPSG:4326", west - 0.2, north + 0.2, 0.05, -0.05, *(
        math.ceil((span + 0.4) / 0.05) for span in (north - south, east - west)
    ))  # fmt: skip
    cube = create_cube(url, CubeSpec(own, (Variable("swvl1", ("time", "y", "x")),), job.days, 64, 64))
    for i in range(len(job.days)):
        rng = np.random.default_rng(i)
        cube.write("swvl1", rng.uniform(0.1, 0.4, own.shape).astype(np.float32), cube.raster.window, i)
    cube.finish()


def _write_fine(url, job, truth):
    """Write the truth's means on pixels three times coarser, of every day that has a truth."""
    grid = job.grid.at(10)
    spec = CubeSpec(grid.raster, (Variable("swvl1", ("time", "y", "x")),), job.days[::2], 64, 64, nested=grid)
    cube = create_cube(url, spec)
    days, height, width = truth.shape
    means = truth.reshape(days, height // 3, 3, width // 3, 3).mean(axis=(2, 4))
    for i in range(len(spec.times)):
        cube.write("swvl1", means[2 * i].astype(np.float32), cube.raster.window, i)
    cube.finish()


def run(job):
    plan = evaluate_plan(job)
    for task in plan.tasks:
        plan.run(pickle.loads(pickle.dumps(task)))
    return sorted(p for p in Path(job.partials_url).iterdir())


@pytest.fixture(scope="module")
def tilings(whole):
    """Return what the tiles of several tilings left, by cells along one side."""
    job, _ = whole
    return {
        side: [
            p.read_text() for p in run(dataclasses.replace(job, cells_per_tile=side, out_url=f"{job.out_url}{side}"))
        ]
        for side in (1, 2, 3, 4)
    }


def plain(partial: Partial):
    """Return all that a sum of tiles says, in a form that does not tell how it was summed."""
    tallies = partial.tallies
    return {
        "truth": {k: v.metrics() for k, v in partial.truth.items()},
        "mass": {k: v.metrics() for k, v in partial.mass.items()},
        "seams": {k: v.metrics() for k, v in partial.seams.items()},
        "all": total(partial.truth, partial.truth, Comparison()).metrics()
        | total(partial.mass, partial.mass, Mass()).metrics()
        | total(partial.seams, partial.seams, Seams()).metrics(),
        "scatter": {k: dict(v) for k, v in partial.scatter.items()},
        "errors": {k: v.sums for k, v in partial.errors.items()},
        "matchups": {(r["station"], r["layer"], r["day"]): r for r in partial.matchups},
        "samples": {(r["station"], r["layer"], r["day"]): r for r in partial.samples},
        "spectra": {k: v.as_list() for k, v in tallies.spectra.items()},
        "calibration": {k: v.metrics(0.9) for k, v in tallies.calibration.items()},
        "profiles": {k: v.metrics(THRESHOLD) for k, v in tallies.profiles.items()},
        "area": {k: v.as_list() for k, v in tallies.area.items()},
        "references": {k: v.metrics() for k, v in tallies.references.items()},
        "cells": {k: v.dense(Window(300, 303, 900, 904)) for k, v in tallies.cells.items()},
    }


def same(a, b, where=()):
    if isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            same(a[key], b[key], (*where, key))
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            same(x, y, (*where, i))
    elif isinstance(a, str | bool):
        assert a == b, where
    else:
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12, err_msg=str(where))


@settings(deadline=None, max_examples=12)
@given(st.data())
def test_tiles_of_any_size_in_any_order_and_grouping_give_those_of_the_whole(tilings, data):
    side = data.draw(st.sampled_from([1, 2, 3]))
    parts = [Partial.from_json(json.loads(text)) for text in data.draw(st.permutations(tilings[side]))]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(parts)), max_size=3)))
    groups = []
    for start, stop in zip([0, *cuts], [*cuts, len(parts)], strict=True):
        group = Partial()
        for part in parts[start:stop]:
            group.add(part)
        groups.append(group)
    merged = Partial()
    for group in groups:
        merged.add(Partial.from_json(json.loads(json.dumps(group.as_json()))))
    (one,) = tilings[4]
    same(plain(merged), plain(Partial.from_json(json.loads(one))))


@pytest.fixture(scope="module")
def written(whole):
    job, _ = whole
    run(job)
    patch = pytest.MonkeyPatch()
    patch.setattr(collocation, "MINIMUM", 3)
    metrics = summarise(job)
    patch.undo()

    def read(name):
        text = (Path(job.out_url) / name).read_text()
        return json.loads(text, parse_constant=lambda value: pytest.fail(f"{value} is not JSON"))

    names = ("space", "calibration", "applicability", "triple_collocation")
    return job, metrics, {name: read(f"{name}.json") for name in names}


def test_spectra_of_the_map_lie_under_those_of_the_truth(written):
    job, _, found = written
    spectra = found["space"]["spectra"]
    assert set(spectra) == {"sm_surface", "sm_rootzone"}
    root = spectra["sm_rootzone"]
    assert (root["window_px"], root["windows"], root["reference"]) == (60, 4, "truth")  # two windows, two days of truth
    assert root["days"] == list(job.days[::2])
    assert list(root["by_day"]) == list(job.days)
    assert set(root["fields"]) == {"truth", "ensemble", "coarse_nearest", "coarse_cubic"}
    assert root["wavelength_m"] == sorted(root["wavelength_m"], reverse=True)
    assert {len(f["power"]) for f in root["fields"].values()} == {len(root["wavelength_m"])}
    ours, cubic = (sum(root["fields"][m]["coherence"]) for m in ("ensemble", "coarse_cubic"))
    assert ours > cubic
    assert spectra["sm_surface"]["skipped"] == 0


def test_spectra_are_those_of_the_arrays(written, template):
    job, _, found = written
    ratio = job.grid.ratio
    spectra = found["space"]["spectra"]["sm_rootzone"]
    days = (0, 2)
    truth, ours, coarse = (template.fields[f"{kind}/sm_rootzone"] for kind in ("truth", "ensemble", "coarse"))
    total = [Spectrum()] * 3
    for day in days:
        near = coarse[day].repeat(ratio, axis=0).repeat(ratio, axis=1)
        for x in (0, 2 * ratio):
            fields = [f[: 2 * ratio, x : x + 2 * ratio].astype(np.float32) for f in (truth[day], ours[day], near)]
            total = [a + b for a, b in zip(total, spectra_of(fields, referenced=True), strict=True)]
    scales = Scales(2 * ratio, job.grid.pixel, job.grid.lattice.cell)
    expected = figures(scales, dict(zip(("truth", "ensemble", "coarse_nearest"), total, strict=True)), "truth")
    for field, values in expected.items():
        for key in ("power", "coherence"):
            if key in values:
                seen = spectra["fields"][field][key]
                np.testing.assert_allclose(seen[:10], values[key][:10], rtol=5e-3, atol=1e-4)  # beyond, packing shows


def test_error_maps_open_as_a_plain_dataset_and_agree_with_arrays(written, template):
    job, metrics, found = written
    maps = xr.open_zarr(f"{job.out_url}/{found['space']['error_maps']['path']}")
    own = found["space"]["error_maps"]["layers"]["sm_rootzone"]["ensemble"]
    rmse = maps[own["variables"]["rmse"]]
    assert rmse.attrs["units"] == "m3 m-3"
    assert maps["spatial_ref"].attrs["grid_mapping_name"] == "lambert_cylindrical_equal_area"
    ratio, day = job.grid.ratio, slice(None, None, 2)
    error = template.fields["ensemble/sm_rootzone"][day] - template.fields["truth/sm_rootzone"][day]
    blocks = error.reshape(2, 3, ratio, 4, ratio)
    np.testing.assert_allclose(rmse, np.sqrt((blocks**2).mean(axis=(0, 2, 4))), rtol=2e-3)
    np.testing.assert_allclose(maps["sm_rootzone_ensemble_bias"], blocks.mean(axis=(0, 2, 4)), atol=1e-4)
    assert (maps["sm_rootzone_n"] == 2 * ratio**2).all()
    whole = np.sqrt((rmse**2).mean())
    assert float(whole) == pytest.approx(metrics["layers"]["sm_rootzone"]["truth"]["ensemble"]["rmse"], rel=1e-5)
    assert own["better_than_coarse"] == 1.0
    assert found["space"]["error_maps"]["layers"]["sm_rootzone"]["coarse_nearest"]["better_than_coarse"] is None


def test_other_products_are_compared_on_their_own_grid(written, template):
    job, _, found = written
    tenths, ninths = (found["space"]["references"][name] for name in ("tenths", "ninths"))
    assert (tenths["days"], ninths["days"]) == (2, 4)
    assert set(tenths["layers"]["sm_surface"]) == MEMBERS
    assert tenths["pixel_m"] == pytest.approx(job.grid.pixel * 3)
    ours = tenths["layers"]["sm_surface"]["ensemble"]
    field, truth = (template.fields[f"{kind}/sm_surface"][::2] for kind in ("ensemble", "truth"))
    field = field.copy()
    field[:, 40:50, 3:33] = np.nan
    means = [v.reshape(2, 30, 3, 40, 3).mean(axis=(2, 4)) for v in (field, truth)]
    error = (means[0] - means[1])[np.isfinite(means[0])]
    assert ours["rmse"] == pytest.approx(np.sqrt((error**2).mean()), rel=0.01)  # at holes' edges it has part of a pixel
    assert ours["rmse_gain"] > 0
    assert ninths["layers"]["sm_surface"]["ensemble"]["n"] > 0.95 * 4 * 12 * 81


def test_calibration_and_coverage_say_the_same(written):
    _, metrics, found = written
    for layer in ("sm_surface", "sm_rootzone"):
        for reference in ("truth", "stations"):
            own = found["calibration"]["layers"][layer][reference]
            assert set(own) == {"ensemble"}  # the template's networks state no uncertainty
            plain_figures = metrics["layers"][layer][reference]["ensemble"]
            assert own["ensemble"]["coverage"][2] == pytest.approx(plain_figures["coverage_90"])
            assert own["ensemble"]["crps"] == pytest.approx(plain_figures["crps"], rel=1e-5)
            assert own["ensemble"]["rms_error"] == pytest.approx(plain_figures["rmse"], rel=1e-5)
            assert sum(own["ensemble"]["pit"]) == own["ensemble"]["n"] == plain_figures["n"]


def test_errors_are_told_inside_and_outside_of_the_area_of_applicability(written):
    job, metrics, found = written
    area = found["applicability"]
    index = np.stack([smooth(job.grid.shape, i) for i in range(4)])
    index[:, 40:50, 3:33] = np.nan
    known = np.isfinite(index)
    assert area["pixels"] == known.sum()
    assert area["share_outside"] == pytest.approx((index[known] > THRESHOLD).mean(), abs=2e-3)
    assert set(area["share_outside_by_day"]) == set(job.days)
    for layer in ("sm_surface", "sm_rootzone"):
        for reference in ("truth", "stations"):
            members = area["layers"][layer][reference]
            assert set(members) == {"ensemble", "coarse_nearest"}
            parts = [members["ensemble"][side] for side in ("inside", "outside")]
            n = sum(p["n"] for p in parts)
            rmse = math.sqrt(sum(p["n"] * p["rmse"] ** 2 for p in parts if p["n"]) / n)
            expected = metrics["layers"][layer][reference]["ensemble"]
            assert (n, rmse) == (expected["n"], pytest.approx(expected["rmse"], rel=1e-5))


def test_products_are_sampled_at_the_native_pixel_of_a_station(written):
    job, _, found = written
    assert set(found["triple_collocation"]["layers"]) == {"sm_surface"}
    members = found["triple_collocation"]["layers"]["sm_surface"]["era"]
    assert set(members) == MEMBERS
    table = pd.read_csv(f"{job.out_url}/triple_collocation.csv")
    assert set(table["member"]) == MEMBERS
    assert members["ensemble"]["stations_used"] == (table["member"] == "ensemble").sum() > 3
    matchups = pd.read_csv(f"{job.out_url}/matchups.csv")
    name = table["station"].iloc[0]
    own = matchups[(matchups["station"] == name) & (matchups["layer"] == "sm_surface")].sort_values("day")
    stations = xr.open_zarr(job.stations_url)
    place = {str(n): i for i, n in enumerate(stations["station"].values)}[name]
    era = xr.open_zarr(job.products[0].url)["swvl1"].sel(
        x=float(stations["longitude"][place]), y=float(stations["latitude"][place]), method="nearest"
    )
    third = [float(era.sel(time=day)) for day in own["day"]]
    expected = collocation.triple_collocation(np.cov(np.stack([own["ensemble"], own["observed"], third])))
    row = table[(table["station"] == name) & (table["member"] == "ensemble")].iloc[0]
    for which, wanted in zip(collocation.SETS, expected, strict=True):
        assert row[f"{which}_err_std"] == pytest.approx(wanted["err_std"], rel=1e-4, nan_ok=True)


def test_without_truth_stations_and_index_little_is_left(whole):
    job, _ = whole
    bare = dataclasses.replace(
        job, truth_url=None, stations_url=None, held_out=None, references=(), products=(),
        mosaic_url=job.mosaic_url.replace("mosaic", "none"), out_url=f"{job.out_url}bare",
    )  # fmt: skip
    old = open_cube(job.mosaic_url)
    variables = tuple(v for v in old.spec.variables if v.name in {"sm_surface", "flags"})
    cube = create_cube(bare.mosaic_url, dataclasses.replace(old.spec, variables=variables, times=job.days[:1]))
    for variable in variables:
        cube.write(variable.name, old.read(variable.name, old.raster.window, 0), old.raster.window, 0)
    cube.finish()
    bare = dataclasses.replace(bare, layers=job.layers[:1], days=job.days[:1], members_url=None)
    run(bare)
    summarise(bare)
    folder = Path(bare.out_url)
    found = json.loads((folder / "space.json").read_text())
    assert found["spectra"]["sm_surface"]["reference"] is None
    assert "ratio" not in found["spectra"]["sm_surface"]["fields"]["ensemble"]
    assert (found["error_maps"], found["references"]) == ({}, {})
    assert json.loads((folder / "calibration.json").read_text())["layers"] == {"sm_surface": {}}
    assert json.loads((folder / "applicability.json").read_text()) == {}
    assert json.loads((folder / "triple_collocation.json").read_text())["layers"] == {}
    assert not (folder / "error_maps.zarr").exists()
