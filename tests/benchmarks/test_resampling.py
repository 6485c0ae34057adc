"""The comparison with other resamplers: its geometry, its oracle, its claims, and one tiny run."""

import json
import sys

import numpy as np
import pytest

from benchmarks import record
from benchmarks.peers import claims, gdal, measure, methods, resampling
from benchmarks.peers.jobs import all_jobs, make_field, nested, projected
from smdown.grid import Window

UTM = projected("UTM 30 m to 30 m", "EPSG:32614", 30.0, 1)
DEGREES = projected("longitude-latitude 1 arc-second to 30 m", "EPSG:4326", 1 / 3600, 1)
COARSE = nested("30 m to 100 m", 300, 90, 2, 30)
FINE = nested("1000 m to 30 m", 9, 300, 1, 4)


@pytest.mark.parametrize("job", [*all_jobs(quick=True), *all_jobs(quick=False)], ids=lambda job: job.name)
def test_tiles_partition_the_target_and_find_what_they_need(job):
    tiles = list(job.tiles())
    assert sum(tile.size for tile in tiles) == job.window.size
    assert all(job.window.contains(tile) for tile in tiles)
    assert all(job.have.contains(job.part(tile).have) for tile in tiles)
    assert len(tiles) >= 4


@pytest.mark.parametrize("job", [UTM, DEGREES, COARSE, FINE], ids=lambda job: job.name)
def test_pixels_are_where_pyproj_and_the_transforms_put_them(job):
    """The affine transforms that peers get, and the positions that `locate` gives, are the same places."""
    y, x = job.window.y0 + 3.5, job.window.x0 + 7.5
    place = job.target_affine @ (7.5, 3.5)
    if job.raster.crs != job.grid.crs:
        found = gdal.rasterio.warp.transform(job.grid.crs, job.raster.crs, [place[0]], [place[1]])
        place = found[0][0], found[1][0]
    col, row = ~job.source_affine @ place
    rows, cols = job.locate(np.array([y]), np.array([x]))
    assert (rows[0], cols[0]) == pytest.approx((row, col), abs=1e-4)


@pytest.mark.parametrize("job", [UTM, FINE], ids=lambda job: job.name)
def test_exact_gdal_is_the_closed_form(job):
    noise = np.random.default_rng(0).random(job.raster.shape, np.float32)
    rows, exact = gdal.oracle(job, noise)
    part = Window(job.window.y0 + 20, job.window.y0 + 90, job.window.x0 + 10, job.window.x0 + 110)
    assert len(rows) == job.window.height
    np.testing.assert_allclose(exact[20:90, 10:110], gdal.closed_form(job, noise, part), atol=2e-7)


def test_the_usual_gdal_is_not_exact():
    """If this fails, rasterio has become exact, and the notes in gdal.py want another look."""
    noise = np.random.default_rng(0).random(UTM.raster.shape, np.float32)
    _, exact = gdal.oracle(UTM, noise)
    assert np.abs(gdal.usual(1)(UTM, noise)() - exact).max() > 1e-3


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning")  # of the peers
@pytest.mark.parametrize("job", [UTM, DEGREES, COARSE, FINE], ids=lambda job: job.name)
def test_all_methods_find_the_field_where_it_is(job):
    """Half a pixel's shift, or a flipped axis, would be far off this smooth field."""
    y, x = np.indices(job.raster.shape)
    field = (np.sin(y / 9) + np.cos(x / 7) + 0.01 * (x + y)).astype(np.float32)
    rows, want = gdal.oracle(job, field)
    for method in methods.all_methods():
        if methods.installed(method) and method.applies(job) and not method.in_processes:
            made = methods.with_margin(method, job, field) if method.whole_px else method.prepare(job, field)()
            assert np.abs(made[rows] - want).max() < 0.02 * np.ptp(field), method.name


def test_seams_are_steps_that_the_whole_has_not():
    whole = np.add.outer(np.arange(40.0), np.arange(40.0)).astype(np.float32)
    torn = whole.copy()
    torn[:, 10:] += 3.0
    assert measure.seams(whole, whole, 10, 78.0) == {"seam_ratio": 1.0, "tile_difference": 0.0}
    found = measure.seams(torn, whole, 10, 78.0)
    assert found["seam_ratio"] == pytest.approx(1.5)  # one of six edges has a step of four
    assert found["tile_difference"] == pytest.approx(3.0 / 78.0)


def result(job, method, speed, **more):
    plain = {"variant": "5 % missing", "difference_max": 1e-7, "seam_ratio": 1.0}
    return {"job": job, "method": method, "mpx_s": speed, "mpx_s_none_missing": 2 * speed} | plain | more


def test_claims_come_from_the_results():
    job = "30 m to 100 m"
    results = [
        result(job, "smdown", 210.0, seam_ratio=1.02), result(job, "GDAL", 10.0),
        result(job, "smdown, 1 worker", 100.0), result(job, "smdown, 2 workers", 170.0),
    ]  # fmt: skip
    found = {c["claim"]: c for c in claims.make_claims(results)}
    faster = found[f"{job}: as fast as GDAL, one thread each"]
    assert (faster["value"], faster["bar"], faster["holds"]) == (21.0, ">= 20", True)
    assert found[f"{job}: as fast as torch interpolate, one thread each"]["holds"] is False  # not measured
    assert found[f"{job}: two workers as fast as one"]["value"] == 1.7
    assert not found[f"{job}: two workers as fast as one"]["holds"]
    assert found[f"{job}: difference from exact GDAL"]["holds"]
    assert not found[f"{job}: step across tiles' edges"]["holds"]


def test_peers_that_refuse_holes_are_compared_without():
    results = [result("a", "smdown", 30.0), result("a", "b", 20.0, variant="none missing")]
    assert claims.speed_ratio(results, "a", "smdown", "b") == 1.5


def test_a_claim_without_a_figure_does_not_hold():
    assert not record.claim("x", None, "", ">=", 1)["holds"]
    assert not record.claim("x", float("nan"), "", "<=", 1)["holds"]


def test_the_field_is_like_soil_moisture():
    field = make_field((300, 200), missing=True)
    assert 0 <= np.nanmin(field) < 0.1
    assert 0.5 < np.nanmax(field) <= 0.6
    assert np.isnan(field).mean() == pytest.approx(0.05, abs=0.01)
    known = np.isfinite(field)
    np.testing.assert_array_equal(field[known], make_field((300, 200), missing=False)[known])


def test_a_tiny_run_writes_its_record(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(resampling, "all_jobs", lambda quick: [COARSE, UTM])
    asked = ["--quick", "--rounds", "1", "--only", "smdown", "GDAL exact"]
    files = ["--json", str(tmp_path / "r.json"), "--plot", str(tmp_path / "r.png")]
    monkeypatch.setattr(sys, "argv", ["resampling", *asked, *files])
    monkeypatch.setattr(resampling, "all_methods", lambda: [m for m in methods.all_methods() if not m.in_processes])
    resampling.main()
    written = json.loads((tmp_path / "r.json").read_text())
    assert set(written) == {"machine", "results", "claims"}
    assert {r["job"] for r in written["results"]} == {COARSE.name, UTM.name}
    for found in (r for r in written["results"] if r["method"] == "smdown"):
        assert found["difference_max"] < 2e-6
        assert found["seam_ratio"] == 1.0
        assert found["tile_difference"] == 0.0
        assert found["valid_share"] == pytest.approx(0.95, abs=0.01)
    assert (tmp_path / "r.png").stat().st_size > 10_000
    assert "What was promised" in capsys.readouterr().out
