from __future__ import annotations

import numpy as np
import pytest
from matplotlib.image import imread

from smdown.export.quicklook import decimated, quicklook
from tests.inference.fakes import DAYS


@pytest.mark.parametrize(("largest", "step"), [(1000, 1), (150, 2), (99, 4), (3, 60)])
def test_decimation_averages_what_is_there(mosaic, largest, step):
    cube, field = mosaic
    found, used = decimated(cube, cube.variables["sm_surface"], 1, largest)
    assert used == step
    height, width = field.shape
    blocks = field.reshape(height // step, step, width // step, step)
    with np.errstate(invalid="ignore"):
        expected = np.where(np.isfinite(blocks), blocks, 0).sum((1, 3)) / np.isfinite(blocks).sum((1, 3))
    assert np.allclose(found, expected, atol=1e-4, equal_nan=True)


@pytest.mark.parametrize("variable", ["sm_surface", "sm_rootzone_std", "flags"])  # the second holds nothing at all
def test_the_quicklook_is_a_picture(mosaic, tmp_path, variable):
    cube, _ = mosaic
    image = imread(quicklook(cube.url, variable, DAYS[1], tmp_path / "look.png"))
    assert min(image.shape[:2]) > 500
    assert len(np.unique(image[..., :3] @ np.array([1, 300, 90000]))) > 20
