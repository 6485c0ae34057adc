"""The files: each laid out as its real model, georeferenced, and the same bytes from the same seed."""

import hashlib
import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import rasterio
import xarray as xr
from pyproj import Transformer

from smdown.cubes import open_cube
from smdown.errors import ConfigError, InputError
from smdown.grid import EASE2_M09
from smdown.twin import load_summary, make_twin
from smdown.twin.optical import ADJACENT, CLOUD, FILL, SHADOW
from smdown.twin.smap import ERROR_SD, product_error, three_hourly
from smdown.twin.stations import DEPTH_WEIGHTS, DEPTHS, place_stations, profile


def _hashes(root: Path) -> dict[str, str]:
    return {
        str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(root.rglob("*"))
        if p.is_file()
    }


def test_same_seed_same_bytes_other_seed_other_bytes(tmp_path):
    first, second, third = (
        _hashes(make_twin(tmp_path / str(k), (1, 1), 4, 2, seed, truth_every=2).root)
        for k, seed in enumerate((5, 5, 6))
    )
    assert first == second
    assert len(first) > 60
    changed = {name for name in first if third.get(name) != first[name]}
    for part in ("smap/", "dem/", "soil/", "optical/", "precipitation/", "stations/", "truth.zarr/sm_surface/c"):
        assert any(name.startswith(part) for name in changed), part


def test_the_period_does_not_change_the_days_that_two_twins_share(exact, tmp_path):
    shorter = make_twin(tmp_path / "t", (2, 2), 8, 8, seed=3, truth_every=1, smap_noise=0.0)
    name = "SMAP_L4_SM_gph_20200403T133000_Vv8010_001.h5"
    assert (shorter.dem / "dem_n34_w099.tif").read_bytes() == (exact.dem / "dem_n34_w099.tif").read_bytes()
    with h5py.File(shorter.smap / name) as a, h5py.File(exact.smap / name) as b:
        assert a["cell_row"][...].tolist() == b["cell_row"][...].tolist()


def test_summary_survives_and_a_finished_twin_is_left_alone(exact):
    assert load_summary(exact.root) == exact
    stamp = (exact.smap / next(p.name for p in exact.smap.iterdir())).stat().st_mtime_ns
    again = make_twin(exact.root, (2, 2), 20, 8, seed=3, truth_every=7, smap_noise=0.0)
    assert again == exact
    assert (exact.smap / next(p.name for p in exact.smap.iterdir())).stat().st_mtime_ns == stamp
    content = json.loads((exact.root / "twin.json").read_text())
    assert content["end"] == "2020-04-20"
    assert content["cells"] == [exact.cells.y0, exact.cells.y1, exact.cells.x0, exact.cells.x1]
    assert str(exact.root) not in (exact.root / "twin.json").read_text()


def test_wrong_arguments_and_foreign_folders_are_refused(tmp_path):
    for bad in ({"cells": (0, 2)}, {"days": 0}, {"seed": -1}, {"stations": -1}, {"truth_every": 0}, {"start": "soon"}):
        with pytest.raises(ConfigError, match="got"):
            make_twin(tmp_path / "new", **bad)
    assert not (tmp_path / "new").exists()
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(ConfigError, match=r"mine\.txt"):
        make_twin(tmp_path, (1, 1), 4, 2)
    assert (tmp_path / "mine.txt").read_text() == "keep"
    with pytest.raises(InputError, match="no finished twin"):
        load_summary(tmp_path)


def test_smap_layout(exact):
    files = sorted(exact.smap.iterdir())
    assert len(files) == 20 * 8
    assert files[0].name == "SMAP_L4_SM_gph_20200401T013000_Vv8010_001.h5"
    assert files[-1].name == "SMAP_L4_SM_gph_20200420T223000_Vv8010_001.h5"
    with h5py.File(files[9]) as file:
        column = (file["x"][...] - EASE2_M09.x0) / EASE2_M09.cell - 0.5
        row = (EASE2_M09.y0 - file["y"][...]) / EASE2_M09.cell - 0.5
        np.testing.assert_allclose(column, np.arange(exact.cells.x0, exact.cells.x1), atol=1e-3)
        np.testing.assert_allclose(row, np.arange(exact.cells.y0, exact.cells.y1), atol=1e-3)
        np.testing.assert_array_equal(file["cell_row"][:, 0], np.arange(exact.cells.y0, exact.cells.y1))
        lon, lat = Transformer.from_crs(6933, 4326, always_xy=True).transform(*np.meshgrid(file["x"], file["y"]))
        np.testing.assert_allclose(file["cell_lon"], lon, atol=1e-5)
        np.testing.assert_allclose(file["cell_lat"], lat, atol=1e-5)
        assert file["EASE2_global_projection"].attrs["grid_mapping_name"] == "lambert_cylindrical_equal_area"
        moment = np.datetime64("2000-01-01T11:58:55.816") + np.timedelta64(round(file["time"][0] * 1000), "ms")
        assert moment == np.datetime64("2020-04-02T04:30:00.000")
        for name in ("sm_surface", "sm_rootzone"):
            layer = file["Geophysical_Data"][name]
            assert layer.dtype == np.float32
            assert layer.shape == (2, 2)
            assert layer.attrs["_FillValue"] == layer.attrs["fmissing_value"] == -9999.0
            assert layer.attrs["units"] == "m3 m-3"
            assert layer.attrs["valid_max"] == np.float32(0.9)


def test_a_days_mean_is_the_truths_cell_mean(exact):
    cube = open_cube(str(exact.truth), complete=True)
    assert tuple(str(t)[:10] for t in cube.times) == exact.truth_days == ("2020-04-01", "2020-04-08", "2020-04-15")
    for k, day in enumerate(exact.truth_days):
        for name in ("sm_surface", "sm_rootzone"):
            values = []
            for path in sorted(exact.smap.glob(f"*{day.replace('-', '')}T*.h5")):
                with h5py.File(path) as file:
                    values.append(file["Geophysical_Data"][name][...])
            assert len(values) == 8
            truth = cube.read(name, cube.raster.window, k).reshape(2, 300, 2, 300).mean(axis=(1, 3), dtype=np.float64)
            np.testing.assert_allclose(np.mean(values, axis=0), truth, atol=2e-5)


def test_the_products_error_has_its_size_and_fades_over_days():
    error = product_error((400, 2, 12, 12), 1)
    lasting = error.mean(axis=0)
    fading = error - lasting
    np.testing.assert_allclose(fading.std(axis=(0, 2, 3)), ERROR_SD, rtol=0.15)
    one_day = (fading[1:, 0] * fading[:-1, 0]).mean() / fading[:, 0].var()
    assert 0.75 < one_day < 0.9
    assert 0.005 < lasting.std() < 0.016


def test_three_hourly_values_keep_the_days_mean(rng):
    daily = rng.uniform(0.1, 0.4, (5, 2, 3, 3))
    for day in range(5):
        np.testing.assert_allclose(three_hourly(daily, day).mean(axis=0), daily[day], atol=1e-6)


def _at(path: Path, lon: float, lat: float) -> float:
    with rasterio.open(path) as file:
        x, y = Transformer.from_crs(4326, file.crs, always_xy=True).transform(lon, lat)
        column, row = ~file.transform @ (x, y)
        j, i = int(np.floor(column - 0.5)), int(np.floor(row - 0.5))
        if not (0 <= i < file.height - 1 and 0 <= j < file.width - 1):
            return float("nan")
        box = file.read(1, window=((i, i + 2), (j, j + 2))).astype(float)
    u, t = column - 0.5 - j, row - 0.5 - i
    return float((box * np.outer([1 - t, t], [1 - u, u])).sum())


def test_elevation_and_soil_lie_where_they_belong(exact, region, frame):
    sites = place_stations(frame, 8, 3)
    lat, lon = frame.geographic(sites.rows.astype(float), sites.columns.astype(float))
    tiles = sorted(exact.dem.iterdir())
    assert [t.name for t in tiles] == [f"dem_{n}_{w}.tif" for n in ("n34", "n35") for w in ("w098", "w099")]
    for k in range(8):
        found = [v for t in tiles if np.isfinite(v := _at(t, lon[k], lat[k]))]
        true = float(region.terrain.elevation[sites.rows[k], sites.columns[k]])
        assert found
        assert found[0] == pytest.approx(true, abs=1.0)
        assert (
            abs(_at(exact.soil / "sand.tif", lon[k], lat[k]) - region.texture.sand[sites.rows[k], sites.columns[k]])
            < 15
        )


def test_rasters_cover_the_region_with_a_margin(exact):
    west, south, east, north = exact.bounds
    for name in ("sand", "clay", "silt", "organic", "bulk_density"):
        with rasterio.open(exact.soil / f"{name}.tif") as file:
            assert file.crs.to_epsg() == 4326
            assert file.nodata == -9999
            assert file.bounds.left < west - 0.012
            assert file.bounds.right > east + 0.012
            assert file.bounds.bottom < south - 0.012
            assert file.bounds.top > north + 0.012
            assert abs(file.bounds.left * 3600 - round(file.bounds.left * 3600)) < 1e-6
            data = file.read(1, masked=True)
            assert data.mask.sum() == 0
            if name in ("sand", "clay", "silt"):
                assert 0 <= data.min() <= data.max() <= 100


def test_scenes(exact, region, frame):
    scenes = sorted(exact.optical.iterdir())
    assert len(scenes) in (1, 2)
    name = scenes[0].name
    assert name.startswith("HLS.L30.T14SND.2020")
    assert sorted(p.name for p in scenes[0].iterdir()) == [
        f"{name}.{b}.tif" for b in ("B03", "B04", "B05", "B06", "Fmask")
    ]
    bands = {}
    for band in ("B03", "B04", "B05", "B06", "Fmask"):
        with rasterio.open(scenes[0] / f"{name}.{band}.tif") as file:
            assert file.crs.to_string() == exact.crs_optical == "EPSG:32614"
            assert file.transform.a == -file.transform.e == 30
            assert file.transform.c % 30 == file.transform.f % 30 == 0
            bands[band] = file.read(1)
            transform = file.transform
    assert bands["B04"].dtype == np.int16
    assert (bands["B04"] != FILL).all()
    assert (bands["Fmask"] != 255).all()
    clear = (bands["Fmask"] & (CLOUD | ADJACENT | SHADOW)) == 0
    ndvi = (bands["B05"] - bands["B04"]) / (bands["B05"] + bands["B04"].astype(float))
    assert -0.1 < ndvi[clear].min() < 0.3
    assert 0.5 < ndvi[clear].max() < 0.95
    sites = place_stations(frame, 200, 1)
    lat, lon = frame.geographic(sites.rows.astype(float), sites.columns.astype(float))
    x, y = Transformer.from_crs(4326, 32614, always_xy=True).transform(lon, lat)
    column, row = (np.floor(v).astype(int) for v in ~transform @ (x, y))
    green = region.land.vegetation.lasting + region.land.vegetation.winter
    seen = clear[row, column]
    assert np.corrcoef(ndvi[row, column][seen], green[sites.rows, sites.columns][seen])[0, 1] > 0.8


def test_precipitation_file(exact):
    with xr.open_dataset(exact.precipitation / "precipitation_2020.nc", engine="h5netcdf") as data:
        rain = data.precipitation.load()
    assert rain.dims == ("time", "lat", "lon")
    assert rain.attrs["units"] == "mm/day"
    assert str(rain.time.values[0])[:10] == "2020-02-01"
    assert str(rain.time.values[-1])[:10] == exact.end
    west, south, east, north = exact.bounds
    assert rain.lon.min() - 0.05 <= west - 0.2 + 1e-9
    assert rain.lon.max() + 0.05 >= east + 0.2 - 1e-9
    assert rain.lat.min() - 0.05 <= south - 0.2 + 1e-9
    assert rain.lat.max() + 0.05 >= north + 0.2 - 1e-9
    np.testing.assert_allclose(np.diff(rain.lat), 0.1, atol=1e-9)
    assert np.isfinite(rain).all()
    assert float(rain.min()) == 0
    assert 0.5 < float(rain.mean()) < 8


def test_profiles_have_the_root_zones_mean(rng):
    surface = 0.2 + 0.1 * rng.random((30, 4))
    rootzone = 0.25 + 0.02 * rng.random((30, 4))
    levels = profile(surface, rootzone)
    assert sum(DEPTH_WEIGHTS) == pytest.approx(1)
    np.testing.assert_array_equal(levels[0], surface)
    np.testing.assert_allclose(np.tensordot(DEPTH_WEIGHTS, levels, 1), rootzone, atol=1e-12)


def test_sites_come_in_groups_that_share_a_cell(frame):
    sites = place_stations(frame, 18, 0)
    cells = (sites.rows - frame.margin) // 300 * 10 + (sites.columns - frame.margin) // 300
    assert np.sort(np.unique(cells, return_counts=True)[1])[-3:].min() >= 3
    assert len({*zip(sites.rows, sites.columns, strict=True)}) == 18
    assert len(set(sites.names)) == 18
    assert place_stations(frame, 0, 0).names == ()


def _read_station(path: Path):
    head, *rows = path.read_text().splitlines()
    parts = [r.split() for r in rows]
    stamps = np.array([f"{p[0].replace('/', '-')}T{p[1]}" for p in parts], dtype="datetime64[m]")
    return head.split(), stamps, np.array([float(p[2]) for p in parts]), np.array([p[3] for p in parts])


def test_station_files(exact, frame):
    assert exact.station_ids == tuple(f"TWIN/T{k:03d}" for k in range(1, 9))
    files = sorted(exact.stations.rglob("*.stm"))
    assert len(files) == 8 * len(DEPTHS)
    first = exact.stations / "TWIN" / "T001" / "TWIN_TWIN_T001_sm_0.050000_0.050000_Probe_20200401_20200420.stm"
    head, stamps, values, flags = _read_station(first)
    sites = place_stations(frame, 8, 3)
    lat, lon = frame.geographic(sites.rows[:1].astype(float), sites.columns[:1].astype(float))
    assert head[:3] == ["TWIN", "TWIN", "T001"]
    assert float(head[3]) == pytest.approx(lat[0], abs=1e-5)
    assert float(head[4]) == pytest.approx(lon[0], abs=1e-5)
    assert head[6:] == ["0.05", "0.05", "Probe"]
    assert (np.diff(stamps) > np.timedelta64(0)).all()
    assert 0.7 < (flags == "G").mean() <= 1
    cube = open_cube(str(exact.truth))
    row, column = sites.rows[0] - frame.margin, sites.columns[0] - frame.margin
    for k, day in enumerate(exact.truth_days):
        good = (stamps.astype("datetime64[D]") == np.datetime64(day)) & (flags == "G")
        truth = float(cube.read("sm_surface", cube.raster.window, k)[row, column])
        if good.any():
            assert abs(values[good].mean() - truth) < 0.06


def test_the_networks_own_reader_takes_station_files(exact):
    filehandlers = pytest.importorskip("ismn.filehandlers")
    path = next((exact.stations / "TWIN" / "T002").glob("*_0.200000_*.stm"))
    file = filehandlers.DataFile(exact.stations, path.relative_to(exact.stations))
    file.read_metadata()
    data = file.read_data()
    assert "soil_moisture" in data.columns
    assert file.metadata["station"].val == "T002"
    assert file.metadata["variable"].depth.start == pytest.approx(0.2)
