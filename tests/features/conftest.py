"""Sources made once for all tests of the room, and loaders of them."""

import dataclasses

import numpy as np
import pytest

from smdown.features import FeaturesConfig, build_spec, get_loader
from tests.features.world import BASE, COMPOSITES, DAYS, DRIVERS, SEQUENCE, make_source, noise, raster


@pytest.fixture(scope="session")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    degrees, metres = raster("EPSG:4326", 0.1, 3), raster("EPSG:32614", 60.0, 12)
    rain = noise(1, (len(DAYS), *degrees.shape), missing=0.03)
    make_source(folder, "rain", degrees, {"p": rain}, DAYS)
    dem = raster("EPSG:4326", 1 / 1200, 12)
    make_source(folder, "dem", dem, {"elevation": 300 * noise(2, dem.shape, missing=0.001)})
    bands = {n: noise(k, (len(COMPOSITES), *metres.shape)) for k, n in ((3, "nir"), (4, "red"))}
    make_source(folder, "optical", metres, bands, COMPOSITES)
    coarse = raster("EPSG:32614", 2000.0, 3)
    make_source(folder, "soil", coarse, {"sand": noise(5, coarse.shape)})
    classes = np.random.default_rng(6).choice([1, 7, 30], metres.shape).astype(np.uint8)
    make_source(folder, "cover", metres, {"class": classes})
    smap = BASE.at(1)
    make_source(folder, "smap", smap.raster, {"sm": noise(7, (len(DAYS), 2, 2), missing=0)}, DAYS, smap)
    return str(folder)


@pytest.fixture
def make_spec(sources, tmp_path):
    """Return a function that binds drivers to the region; features go to a folder of the test's own."""

    def make(*names, **changes):
        drivers = tuple(d for d in DRIVERS if not names or d["name"] in names)
        config = FeaturesConfig(drivers=changes.pop("drivers", drivers), sequence=SEQUENCE)
        spec = build_spec(config, BASE, sources_url=sources, features_url=str(tmp_path / "features"))
        return dataclasses.replace(spec, **changes)

    return make


@pytest.fixture
def loader(make_spec):
    return get_loader(make_spec())
