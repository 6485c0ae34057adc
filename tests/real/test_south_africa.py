"""A 4 x 4 cell window of the real SMAP product over South Africa, from its files to the 30 m map."""

import re
from pathlib import Path

import numpy as np
import pytest
import rioxarray  # noqa: F401 - the accessor
import xarray as xr

from smdown.inference import Flag
from tests.browser import look_at
from tests.pipeline import smdown

CONFIG = Path(__file__).parents[2] / "configs" / "south_africa.yaml"
CELLS = (1230, 1234, 2150, 2154)
QUICK = ("training.epochs=2", "training.pixels_per_epoch=4000", "training.max_days=6", "training.block_cells=1")

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def work(real_data, tmp_path_factory):
    place = tmp_path_factory.mktemp("south_africa")
    sets = [f"inputs={real_data}", f"extent.cells={list(CELLS)}", "prediction.cells_per_tile=2", *QUICK]
    args = [arg for value in sets for arg in ("--set", value)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SMDOWN_REAL_DATA", str(real_data))
        code, _, err = smdown("run", CONFIG, "--cluster", "serial", "--workdir", place, *args)
    assert code == 0, err
    return place


def test_opens_without_smdown(work):
    mosaic = xr.open_zarr(work / "mosaic.zarr")
    field = mosaic.sm_surface
    assert field.rio.crs.to_epsg() == 6933
    assert field.shape == (1, 1200, 1200)
    assert field.rio.bounds()[0] == pytest.approx(-17367530.4451615 + 2150 * 9008.055210146)
    assert field.rio.encoded_nodata == -32768
    assert np.isfinite(field).all()


def test_agrees_with_the_product_cell_by_cell(work):
    field = xr.open_zarr(work / "mosaic.zarr").sm_surface.isel(time=0)
    flags = xr.open_zarr(work / "mosaic.zarr").flags.isel(time=0).to_numpy()
    means = field.to_numpy().astype(np.float64).reshape(4, 300, 4, 300).mean(axis=(1, 3))
    smap = xr.open_zarr(work / "sources" / "smap.zarr").sm_surface.sel(time=field.time)
    x = field.x.to_numpy().reshape(4, 300).mean(axis=1)
    y = field.y.to_numpy().reshape(4, 300).mean(axis=1)
    coarse = smap.sel(x=x, y=y, method="nearest").to_numpy()
    unmet = flags & (Flag.COARSE_MISSING | Flag.MEAN_NOT_MET)
    met = (unmet == 0).reshape(4, 300, 4, 300).all(axis=(1, 3))
    assert met.sum() >= 12
    assert np.abs(means - coarse)[met].max() <= 1e-4


def test_varies_inside_cells_within_bounds(work):
    field = xr.open_zarr(work / "mosaic.zarr").sm_surface.isel(time=0).to_numpy()
    assert field.min() >= 0.01
    assert field.max() <= 0.60
    assert (field.reshape(4, 300, 4, 300).std(axis=(1, 3)) > 1e-5).all()


def test_report_reads_without_truth_or_stations(work):
    page = (work / "report.html").read_text(encoding="utf-8")
    assert "Western and Northern Cape" in page
    assert not re.search(r"(src|href)=.https?:|url\(.?https?:", page), "the page needs the network"


def test_report_in_a_browser(work):
    seen = look_at(work / "report.html")
    assert seen.complaints == []
    assert seen.asked == []
    assert seen.swipes == 2  # wide and narrow
