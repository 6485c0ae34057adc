"""The region's physics as a whole: bounds, plausible sizes, and a truth that the files do not give away."""

import numpy as np
import pytest

from smdown.twin.region import SPIN_UP_DAYS, History, make_weather, simulate
from smdown.twin.soil import make_hydraulics
from smdown.twin.stations import place_stations
from smdown.twin.vegetation import season
from smdown.twin.weather import make_sun

DAYS = 20
START = np.datetime64("2020-04-01")


@pytest.fixture(scope="module")
def run(region):
    weather = make_weather(region, START, DAYS, 3)
    sites = place_stations(region.frame, 8, 3)
    history = History(np.zeros((DAYS, 2, 2, 2)), np.zeros((DAYS, 2, 8), dtype=np.float32))
    maps = dict(simulate(region, weather, sites, {0, 9, 19}, history))
    return weather, sites, history, maps


def _drivers(region, day):
    """What a perfect reader of the files would know, with squares and products."""
    inner = region.frame.inner
    cover = region.land.vegetation.cover(season(START + day, 35.0))
    terrain, texture = region.terrain, region.texture
    known = [texture.sand, texture.clay, texture.organic, terrain.hollow, terrain.wetness, terrain.gradient, cover]
    columns = [(f[inner][::7, ::7].ravel() - f.mean()) / f.std() for f in known]
    pairs = [a * b for i, a in enumerate(columns) for b in columns[i:]]
    return np.stack([np.ones_like(columns[0]), *columns, *pairs], axis=1)


def test_the_maps_means_are_the_cells_history(region, run):
    _, sites, history, maps = run
    inner = region.frame.inner
    assert sorted(maps) == [0, 9, 19]
    for day, layers in maps.items():
        for layer in range(2):
            blocks = layers[layer][inner].reshape(2, 300, 2, 300).astype(np.float64).mean(axis=(1, 3))
            np.testing.assert_allclose(history.cells[day, layer], blocks, atol=1e-6)
            np.testing.assert_array_equal(history.spots[day, layer], layers[layer][sites.rows, sites.columns])


def test_water_content_is_within_the_soils_bounds(region, run):
    soil = region.land.soil
    for layers in run[3].values():
        assert (layers <= soil.porosity * 1.00001).all()
        assert (layers >= 0.5 * soil.wilting * 0.9999).all()


def test_sizes_are_those_of_real_soil_moisture(region, run):
    _, _, history, maps = run
    for layer in range(2):
        fields = np.stack([m[layer][region.frame.inner] for m in maps.values()])
        within = fields.reshape(-1, 2, 300, 2, 300).std(axis=(2, 4)).mean()
        assert 0.02 < within < 0.08
        assert 0.1 < fields.mean() < 0.45
    assert history.cells[:, 0].std(axis=0).mean() > history.cells[:, 1].std(axis=0).mean()
    assert 0.01 < history.cells[:, 0].std(axis=0).mean() < 0.1


@pytest.mark.parametrize("layer", [0, 1])
def test_drivers_explain_a_good_part_of_the_truth_but_not_all(region, run, layer):
    field = run[3][19][layer][region.frame.inner][::7, ::7].ravel().astype(np.float64)
    drivers = _drivers(region, 19)
    fit, *_ = np.linalg.lstsq(drivers, field, rcond=None)
    share = 1 - (field - drivers @ fit).var() / field.var()
    assert 0.4 < share < 0.92


def test_the_same_files_allow_more_than_one_truth(region):
    soils = [make_hydraulics(region.frame, region.terrain, region.texture, seed) for seed in (3, 4)]
    for name in ("porosity", "capacity", "demand"):
        one, other = (getattr(s, name) for s in soils)
        assert (one - other).std() > 0.03 * one.mean()


def test_it_rains_in_spells(region, run):
    weather = run[0]
    assert len(weather.days) == DAYS + SPIN_UP_DAYS
    regional = weather.rain.mean(axis=(1, 2))
    assert (weather.rain >= 0).all()
    assert 1.0 < regional.mean() < 6.0
    assert 0.25 < (regional < 0.5).mean() < 0.95
    heavy = weather.rain[regional.argmax()]
    assert heavy.max() > 2 * heavy.mean()


@pytest.mark.parametrize("lat", [-34.0, 0.0, 35.0, 68.0])
def test_seasons_are_the_right_way_round(lat):
    days = np.array(["2020-01-10", "2020-07-10"], dtype="datetime64[D]")
    january, july = make_sun(days, np.zeros(2, dtype=bool), lat, 0)
    assert 0.1 < min(january.demand, july.demand) <= max(january.demand, july.demand) < 10
    if lat > 30:
        assert july.demand > 2 * january.demand
        assert july.soil_temperature > january.soil_temperature
        assert january.tilt > july.tilt
    if lat < -30:
        assert january.demand > 2 * july.demand
        assert january.tilt < 0 or january.tilt > july.tilt
        assert season(days[0], lat)[2] > season(days[1], lat)[2]
