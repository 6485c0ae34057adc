"""The lazy dataset: nothing happens until it is asked for, then it is what the loader gives."""

import numpy as np
import pytest
import rioxarray  # noqa: F401 - gives xarray its `rio`

from smdown.cubes import open_cube
from smdown.errors import CubeError
from smdown.features import get_loader, lazy_dataset, lazy_source
from smdown.features.loader import Loader
from smdown.features.pixels import Pixels
from smdown.features.reader import SourceReader
from tests.features.world import BASE

DAYS = ("2020-04-10", "2020-04-18")


def refuse(*args, **kwargs):
    raise AssertionError("a loader was asked for values")


def test_building_computes_nothing(make_spec, monkeypatch):
    for name in ("static", "dynamic", "load", "reader", "compute_static"):
        monkeypatch.setattr(Loader, name, refuse)
    found = lazy_dataset(make_spec(sources_url="/nowhere"), BASE, DAYS)
    assert found["slope"].shape == (600, 600)
    with pytest.raises(AssertionError, match="asked for values"):
        found["slope"].compute()


def test_values_are_those_of_the_loader(make_spec):
    spec, grid = make_spec("soil", "ndvi", "slope", "rain_week"), BASE.at(90)
    found = lazy_dataset(spec, grid, DAYS, cells_per_chunk=1).compute(scheduler="synchronous")
    loader = get_loader(spec)
    for day in DAYS:
        want = dict(zip(spec.names, loader.load(grid, grid.window, np.datetime64(day, "ns")), strict=True))
        for name, field in want.items():
            values = found[name].sel(time=day) if name in spec.dynamic_names else found[name]
            np.testing.assert_array_equal(values, field)
    np.testing.assert_array_equal(found.x, grid.raster.x)
    np.testing.assert_array_equal(found.y, grid.raster.y)


def test_it_is_georeferenced(make_spec):
    found = lazy_dataset(make_spec("slope"), BASE.at(9), DAYS)
    assert found.rio.crs.to_epsg() == 6933
    assert found["slope"].attrs["units"] == "m m-1"
    raster = BASE.at(9).raster
    np.testing.assert_allclose(found.rio.transform()[:6], (raster.dx, 0, raster.x0, 0, raster.dy, raster.y0))


@pytest.mark.parametrize("ratio", [9, 90, 300])
def test_tasks_grow_with_tiles_alone(make_spec, ratio):
    """Whatever the pixels: one task for each chunk of each driver and day, and no more than a few beside."""
    spec = make_spec("soil", "rain_today")
    tasks = {n: len(dict(lazy_dataset(spec, BASE.at(ratio), DAYS, n).__dask_graph__())) for n in (1, 2)}
    assert tasks[2] <= 2 * (1 + len(DAYS))
    assert tasks[1] <= 2 * 4 * (1 + len(DAYS))


@pytest.mark.parametrize("name", ["rain", "optical", "dem", "cover"])
@pytest.mark.parametrize("method", ["auto", "cubic", "mode"])
def test_a_source_is_what_its_reader_gives(sources, name, method):
    grid, url = BASE.at(90), f"{sources}/{name}.zarr"
    found = lazy_source(url, grid, method=method, cells_per_chunk=1)
    assert ("time" in found.coords) == (name in {"rain", "optical"})
    assert found.rio.crs.to_epsg() == 6933
    cube = open_cube(url)
    for variable in cube.variables.values():
        times = range(len(cube.times)) if variable.timed else ()
        want = SourceReader(cube, grid).read((variable.name,), grid, grid.window, times, method)[0]
        values = found[variable.name].compute(scheduler="synchronous").values
        np.testing.assert_array_equal(values, want if variable.timed else want[0])


def test_a_lazy_source_computes_nothing_and_grows_with_chunks_alone(sources, monkeypatch):
    monkeypatch.setattr(Pixels, "read", refuse)
    tasks = [len(dict(lazy_source(f"{sources}/optical.zarr", BASE.at(r)).__dask_graph__())) for r in (9, 300)]
    assert tasks[0] == tasks[1]


def test_a_variable_that_is_not_there_is_named(sources):
    with pytest.raises(CubeError, match=r"got ndvi; .* has the variables"):
        lazy_source(f"{sources}/optical.zarr", BASE, names=["ndvi"])
