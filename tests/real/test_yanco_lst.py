"""Land surface temperature at Yanco: the one place where a real fine map says how right the downscaled one is."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from tests.browser import look_at
from tests.pipeline import smdown

CONFIG = Path(__file__).parents[2] / "configs" / "yanco_lst.yaml"

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def work(real_data, tmp_path_factory):
    place = tmp_path_factory.mktemp("yanco_lst")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SMDOWN_REAL_DATA", str(real_data))
        quick = ("--set", "training.epochs=8", "--set", "evaluation.baselines=false")
        code, _, err = smdown("run", CONFIG, "--cluster", "serial", "--workdir", place, *quick)
    assert code == 0, err
    return place


def test_cells_are_those_of_the_product_and_pixels_those_of_landsat(work, real_data):
    import rasterio

    with rasterio.open(real_data / "yanco/lst_pair/MOD11A1_LST_cloudrm_20160205.tif") as file:
        modis = file.read(1, masked=True).filled(np.nan)
    with rasterio.open(real_data / "yanco/lst_pair/Landsat_LST_cloudrm_20160205.tif") as file:
        landsat = file.read(1, masked=True).filled(np.nan)
    cells = xr.open_zarr(work / "sources/modis.zarr").lst[0].to_numpy()[2:-2, 2:-2]
    np.testing.assert_allclose(cells, np.nanmean(modis.reshape(40, 10, 40, 10), axis=(1, 3)), atol=0.01)
    pixels = xr.open_zarr(work / "sources/landsat.zarr").lst[0].to_numpy()[20:-20, 20:-20]
    np.testing.assert_allclose(pixels[5:-5, 5:-5], landsat[5:-5, 5:-5], atol=0.02)


def test_the_map_is_nearer_to_landsat_than_the_product_is(work):
    found = json.loads((work / "evaluation/metrics.json").read_text())["layers"]["lst"]["truth"]
    assert found["ensemble"]["n"] > 150_000
    assert found["ensemble"]["rmse"] < 0.99 * found["coarse_cubic"]["rmse"] < found["coarse_nearest"]["rmse"]
    assert found["ensemble"]["r_within_cell"] > 0.15


def test_the_map_keeps_the_product_in_kelvin(work):
    lst = xr.open_zarr(work / "mosaic.zarr").lst
    assert lst.attrs["units"] == "K"
    assert 285 < float(lst.min()) < float(lst.max()) < 325
    mass = json.loads((work / "evaluation/metrics.json").read_text())["consistency"]["lst"]
    assert mass["max_abs_difference"] <= 0.01  # half a count of 0.02 K
    assert mass["pixels_outside_bounds"] == 0


def test_its_report_says_nothing_of_soil_moisture(work):
    page = (work / "report.html").read_text(encoding="utf-8")
    assert "oil moisture" not in page
    assert "m³" not in page
    seen = look_at(work / "report.html")
    assert seen.complaints == []
