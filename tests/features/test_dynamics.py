"""Drivers of a day against plain loops: sums, fall-backs, composites, and the sequence of days."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smdown.cubes import open_cube
from smdown.errors import CubeError
from smdown.features import FeaturesConfig, build_spec, get_loader
from smdown.features.dynamics import latest_step, sequence_steps
from smdown.grid import Window
from tests.features.world import BASE, COMPOSITES, DAYS, SEQUENCE, make_source, raster

GRID = BASE.at(1)  # on the lattice itself nothing is resampled: values must come back as they are
N = 12
RECORD = tuple(str(np.datetime64("2020-04-01") + n) for n in range(N + 1) if n != 5)


def day(text):
    return np.datetime64(text, "ns")


@pytest.fixture(scope="module")
def daily(tmp_path_factory):
    """Return the folder of a daily source on the lattice's own cells, and its values."""
    folder = tmp_path_factory.mktemp("daily")
    values = np.random.default_rng(0).gamma(1.0, 4.0, (N, 2, 2)).astype(np.float32)
    values[7, 0, 0] = values[8, 0, 0] = values[3:9, 1, 1] = np.nan
    make_source(folder, "rain", GRID.raster, {"p": values}, RECORD, GRID)
    return str(folder), values


def loader_of(folder, **driver):
    config = FeaturesConfig(drivers=({"name": "d", "source": "rain", "variable": "p", **driver},))
    return get_loader(build_spec(config, BASE, sources_url=folder, features_url=f"{folder}/features"))


def by_hand(values, today, days, decay):
    """Return the sum at each cell, day by day, in the order in which one would write it down."""
    out = np.full((2, 2), np.nan)
    weights = {d: decay ** int((np.datetime64(today) - np.datetime64(d)).astype(int)) for d in RECORD}
    window = [d for d in RECORD if 0 <= (np.datetime64(today) - np.datetime64(d)).astype(int) < days]
    whole = sum(decay**back for back in range(days))
    for y, x in np.ndindex(2, 2):
        total = share = 0.0
        for d in window:
            v = values[RECORD.index(d), y, x]
            if np.isfinite(v):
                total += weights[d] * v
                share += weights[d]
        if share / sum([weights[d] for d in window] or [1.0]) > 0.5 + 1e-9:
            out[y, x] = total / share * whole
    return out


@settings(max_examples=25)
@given(st.integers(0, 14), st.integers(1, 9), st.sampled_from((None, 0.9, 0.5)))
def test_antecedent_is_the_sum_by_hand(daily, offset, days, decay):
    """Days that the record or a cell misses count as the mean of the others; with half of them gone there is none."""
    today = str(np.datetime64("2020-03-31") + offset)
    loader = loader_of(daily[0], kind="antecedent", days=days, decay=decay)
    found = loader.dynamic(GRID, GRID.window, day(today))[0]
    np.testing.assert_allclose(found, by_hand(daily[1], today, days, decay or 1.0), rtol=1e-5)


def test_antecedent_of_whole_days_is_their_sum(daily):
    found = loader_of(daily[0], kind="antecedent", days=3).dynamic(GRID, GRID.window, day("2020-04-03"))[0]
    np.testing.assert_allclose(found, daily[1][:3].sum(axis=0), rtol=1e-6)


@pytest.mark.parametrize("days", [7, 8, 9, 10])
def test_half_of_the_days_is_not_enough(daily, days):
    """On 7 April six of the days are on record, of which cell (1, 1) misses three; scaling must not round that up."""
    found = loader_of(daily[0], kind="antecedent", days=days).dynamic(GRID, GRID.window, day("2020-04-07"))[0]
    np.testing.assert_array_equal(np.isfinite(found), [[True, True], [True, False]])


def test_the_antecedent_index_decays(daily):
    found = loader_of(daily[0], kind="antecedent", days=3, decay=0.8).dynamic(GRID, GRID.window, day("2020-04-03"))[0]
    a, b, c = daily[1][:3]
    np.testing.assert_allclose(found, c + 0.8 * b + 0.64 * a, rtol=1e-6)


def test_before_the_record_there_is_no_sum(daily):
    loader = loader_of(daily[0], kind="antecedent", days=3)
    assert np.isnan(loader.dynamic(GRID, GRID.window, day("2020-03-31"))).all()
    assert np.isfinite(loader.dynamic(GRID, GRID.window, day("2020-04-01"))).all()


@pytest.mark.parametrize(
    ("today", "max_age", "steps"),
    [("2020-04-02", 0, 1), ("2020-04-06", 0, None), ("2020-04-06", 1, 4), ("2020-04-16", 3, 11),
     ("2020-04-17", 3, None), ("2020-03-30", 3, None)],
)  # fmt: skip
def test_a_missing_day_falls_back_so_many_days_at_most(daily, today, max_age, steps):
    found = loader_of(daily[0], kind="daily", max_age_days=max_age).dynamic(GRID, GRID.window, day(today))[0]
    want = np.full((2, 2), np.nan) if steps is None else daily[1][steps]
    np.testing.assert_array_equal(found[0, 1], want[0, 1].astype(np.float32))


def test_a_missing_pixel_falls_back_alone(daily):
    """Cell (0, 0) misses steps 7 and 8 (9 and 10 April); cell (1, 1) misses more days than it may look back."""
    found = loader_of(daily[0], kind="daily", max_age_days=2).dynamic(GRID, GRID.window, day("2020-04-10"))[0]
    assert found[0, 0] == daily[1][6, 0, 0]
    assert found[0, 1] == daily[1][8, 0, 1]
    assert np.isnan(found[1, 1])


def test_composites_are_the_latest_at_or_before_the_day(loader, sources):
    cube = open_cube(f"{sources}/optical.zarr")
    assert [latest_step(cube, day(d)) for d in ("2020-04-01", COMPOSITES[0], "2020-04-14", COMPOSITES[1])] == [
        0,
        0,
        0,
        1,
    ]
    grid = BASE.at(90)
    found = [loader.dynamic(grid, grid.window, day(d), ["ndvi"])[0] for d in ("2020-04-06", "2020-04-14", "2020-04-15")]
    np.testing.assert_array_equal(found[0], found[1])
    assert np.nanmax(np.abs(found[1] - found[2])) > 0.01


def test_an_index_is_made_of_resampled_reflectances(tmp_path):
    grid = raster("EPSG:32614", 500.0, 5)
    y, x = np.mgrid[: grid.height, : grid.width]
    nir, red = (np.float32(0.3 + 0.1 * np.sin(x / 5)), np.float32(0.2 + 0.05 * np.cos(y / 4)))
    middle = grid.height // 2, grid.width // 2
    red[middle] = -2 * nir[middle]  # an index of it would be -3
    make_source(tmp_path, "rain", grid, {"nir": nir, "red": red})
    drivers = (
        {"name": "index", "kind": "normalized_difference", "source": "rain", "a": "nir", "b": "red"},
        *({"name": n, "kind": "source", "source": "rain", "variable": n} for n in ("nir", "red")),
    )
    spec = build_spec(
        FeaturesConfig(drivers=drivers), BASE, sources_url=str(tmp_path), features_url=str(tmp_path / "f")
    )
    index, a, b = get_loader(spec).load(BASE.at(30), BASE.at(30).window, day("2020-04-01"))
    wanted = np.where((a >= 0) & (b >= 0), (a - b) / (a + b), np.nan)
    np.testing.assert_array_equal(index, wanted)
    assert np.isnan(wanted).any()
    assert np.isfinite(wanted).mean() > 0.9
    assert np.nanmax(np.abs(index)) <= 1


def test_composites_that_days_share_are_kept_within_a_limit(make_spec, monkeypatch):
    monkeypatch.setattr("smdown.features.loader.RECENT_BYTES", 4 * 30 * 90 * 3)
    loader = get_loader(make_spec("ndvi"))
    grid = BASE.at(90)
    windows = [
        Window(y, y + 30, grid.window.x0, grid.window.x0 + 90) for y in range(grid.window.y0, grid.window.y1, 30)
    ]
    for window in (*windows, *windows):
        first = loader.dynamic(grid, window, day("2020-04-06"))
        np.testing.assert_array_equal(loader.dynamic(grid, window, day("2020-04-07")), first)
        assert loader._recent_bytes() <= 4 * 30 * 90 * 3


def test_the_sequence_runs_from_the_oldest_day_to_the_day(loader):
    """Each step is the day's field on the sequence's grid, with a margin of one pixel around the cells."""
    cells = Window(345, 346, 878, 880)
    found = loader.sequence(cells, day("2020-04-10"))
    window = cells.refine(9).expand(1)
    assert found.shape == (6, 1, 11, 20)
    for step in range(6):
        days_back = np.timedelta64(5 - step, "D")
        want = loader.reader("rain").read(
            ("p",), BASE.at(9), window, (DAYS.index(str(_date("2020-04-10", days_back))),)
        )
        np.testing.assert_array_equal(found[step, 0], want[0, 0])


def _date(text, back):
    return np.datetime64(text) - back


def test_the_sequence_repeats_the_first_day_before_the_record(loader):
    found = loader.sequence(BASE.cells, day("2020-04-03"))
    for step in range(3):
        np.testing.assert_array_equal(found[step], found[3])
    assert np.nanmax(np.abs(found[4] - found[3])) > 0


def test_a_day_that_the_sequence_misses_is_the_one_before(loader):
    found = loader.sequence(BASE.cells, day("2020-04-15"))  # 13 April is missing
    np.testing.assert_array_equal(found[3], found[2])
    assert np.nanmax(np.abs(found[4] - found[3])) > 0


def test_a_sequence_of_cells_is_that_of_all_cells(loader):
    whole = loader.sequence(BASE.cells, day("2020-04-10"))
    part = loader.sequence(Window(346, 347, 879, 880), day("2020-04-10"))
    np.testing.assert_array_equal(part, whole[..., 9:, 9:])


def test_a_sequence_needs_days(sources):
    with pytest.raises(CubeError, match="no time axis"):
        sequence_steps(open_cube(f"{sources}/dem.zarr"), day("2020-04-10"), SEQUENCE["days"])


def test_another_product_is_resampled_on_its_day_and_missing_on_others(loader):
    grid = BASE.at(9)
    found = loader.gridded("rain", "p", grid, grid.window, day("2020-04-10"))
    step = int(np.flatnonzero(loader.reader("rain").cube.times == day("2020-04-10"))[0])
    np.testing.assert_array_equal(found, loader.reader("rain").read(("p",), grid, grid.window, (step,))[0, 0])
    assert np.isnan(loader.gridded("rain", "p", grid, grid.window, day("2020-04-13"))).all()


def test_a_loader_travels_to_other_processes(loader):
    there = pickle.loads(pickle.dumps(loader))
    assert there.spec == loader.spec
    grid = BASE.at(9)
    np.testing.assert_array_equal(
        there.static(grid, grid.window, ["elevation"]), loader.static(grid, grid.window, ["elevation"])
    )
