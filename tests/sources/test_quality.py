import json
import random

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from smdown.cubes import open_cube
from smdown.errors import CubeError
from smdown.sources.quality import find_gaps, heading, quality_reports, read_quality, sparkline, variable_rows
from smdown.sources.tally import BINS, Histogram, Tally
from smdown.sources.values import SUSPECTS, FillWatch
from tests.sources import kinds
from tests.sources.fabricate import ingest
from tests.sources.kinds import KINDS

FIELDS = st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=60)
PARTS = st.lists(FIELDS, min_size=1, max_size=6)


@given(PARTS, st.randoms())
@example([[1e-8], [0.0]], random.Random(0))
def test_any_split_counts_the_same(parts, chance):
    one, many = Tally(), []
    for n, part in enumerate(parts):
        values = np.array([*part, np.nan], "f4")
        one.add(values, n)
        many.append(Tally())
        many[-1].add(values, n)
    chance.shuffle(many)
    merged = Tally()
    for tally in many:
        merged.merge(Tally.from_json(json.loads(json.dumps(tally.as_json()))))
    assert merged == one
    assert one.valid == sum(one.histogram.binned()) == sum(map(len, parts))
    assert one.total == one.valid + len(parts)


@given(st.lists(st.floats(-50, 300, width=32), min_size=2, max_size=300))
def test_bins_are_numpys(values):
    histogram = Histogram()
    histogram.add(np.array(values, "f4"))
    low, high = min(values), max(values)
    edges = np.linspace(low, high, BINS + 1)
    near = np.abs(np.subtract.outer(values, edges)).min(axis=1) <= (high - low) / 1000  # may fall on either side
    counts, _ = np.histogram(values, bins=BINS, range=(low, high) if high > low else (low, low + 1))
    assert np.abs(np.array(histogram.binned()) - counts).sum() <= 2 * near.sum()


def test_gaps_are_longer_than_the_usual_step():
    daily = ["2020-01-02", "2020-01-03", "2020-01-07", "2020-01-08"]
    found = [(g.first, g.last, g.days) for g in find_gaps(daily, "2020-01-01", "2020-01-09")]
    assert found == [
        ("2020-01-01", "2020-01-01", 1), ("2020-01-04", "2020-01-06", 3), ("2020-01-09", "2020-01-09", 1)
    ]  # fmt: skip
    weekly = ["2019-06-03", "2019-06-10", "2019-06-17", "2019-07-22", "2019-07-29"]
    assert [(g.first, g.last) for g in find_gaps(weekly, "2019-06-01", "2019-08-02")] == [("2019-06-24", "2019-07-21")]
    assert find_gaps(["2020-01-01"], "2020-01-01", "2020-01-01") == ()
    assert find_gaps([], "2020-01-01", "2020-01-03")[0].days == 3


def test_report_says_what_the_cube_holds(tmp_path):
    for n in (0, 1, 4):
        kinds.netcdf(tmp_path / "in", n)
    (tmp_path / "in" / "rain_2020-04-03.nc").write_text("<html>")
    context = kinds.context(tmp_path / "out")
    _, url = ingest(KINDS["netcdf"].config(str(tmp_path / "in")), context, "rain")
    report, cube = read_quality(url), open_cube(url)
    values = cube.read("rain", cube.raster.window)
    v = report.variables["rain"]
    assert (v.total, v.valid) == (values.size, np.isfinite(values).sum())
    assert (v.minimum, v.maximum) == (np.nanmin(values), np.nanmax(values))
    assert sum(v.histogram) == v.valid
    assert (report.files, len(report.set_aside), report.days) == (3, 1, 3)
    assert (report.first, report.last) == ("2020-04-01", "2020-04-05")
    assert (report.gaps[0].first, report.gaps[0].last) == ("2020-04-03", "2020-04-04")
    (again,) = quality_reports(context.out, ["rain", "absent"])
    assert heading(again) == (
        "3 files, 1 set aside; 2020-04-01 to 2020-04-05, 3 days; 2 gaps, the longest 2020-04-06 to 2020-04-20"
    )
    ((name, valid, *_, histogram),) = variable_rows(again)
    assert (name, valid, len(histogram)) == (*report.variables, "98.2%", BINS)
    with pytest.raises(CubeError, match="no quality report"):
        read_quality(f"{context.out}/absent.zarr")


def test_stations_have_a_report_too(tmp_path):
    for n in range(2):
        kinds.ismn(tmp_path / "in", n)
    report = read_quality(ingest(KINDS["ismn"].config(str(tmp_path / "in")), kinds.context(tmp_path / "out"))[1])
    assert (report.files, report.days, report.last) == (2, 20, "2020-04-03")
    assert report.variables["sm"].total == 40
    assert report.variables["sm"].valid == 6


def test_sparkline():
    assert sparkline((0, 1, 50, 100)) == " ▁▄█"
    assert sparkline(()) == ""


# -- undeclared fills --------------------------------------------------------------------------------------------------


def verdict(*parts):
    watch = FillWatch()
    for part in parts:
        watch.look(np.asarray(part))
    return watch.verdict()


@given(PARTS)
def test_no_value_near_others_is_taken_for_a_fill(parts):
    """Whatever a field is like: no number within its other values' range, or next to it, is a fill."""
    low, high = min(map(min, parts)), max(map(max, parts))
    spread = [*parts, [low, high, (low + high) / 2], [s for s in SUSPECTS if low <= s <= high]]
    plain = [[v for v in part if v not in {float(np.float32(s)) for s in SUSPECTS}] for part in spread]
    assert verdict(*(np.array(p, "f4") for p in plain)) is None
    inside = [s for s in SUSPECTS if low < np.float32(s) < high]
    assert verdict(
        *(np.array(p, "f4") for p in plain), np.array(inside, "f4"), np.array([low, high], "f4")
    ) is None or {
        low,
        high,
    } & {float(np.float32(s)) for s in SUSPECTS}


@given(st.lists(st.floats(-60, 4000, width=32), min_size=1, max_size=50), st.sampled_from(SUSPECTS), st.randoms())
def test_a_fill_far_from_all_others_is_found_in_any_order(values, fill, random):
    values = [v for v in values if v not in {float(np.float32(s)) for s in SUSPECTS}] or [1.0]
    parts = [[v] for v in values] + [[fill]] * 3
    random.shuffle(parts)
    gap = max(min(values) - fill, fill - max(values))
    found = verdict(*(np.array(p, "f4") for p in parts))
    assert (found is not None) == (gap > max(values) - min(values))
    if found:
        assert f"set nodata: {fill:.8g}" in found


def test_stored_counts_are_what_counts():
    watch = FillWatch(scale=0.1, offset=20.0)
    watch.look(np.array([25.0, 26.0, -32768 * 0.1 + 20], "f4"))
    assert "set nodata: -32768" in watch.verdict()
    assert verdict(np.array([-9999, 1, 2], "i2"))
    assert verdict(np.array([0, 65535, 30000, 60000], "u2")) is None  # saturated, not missing
    assert verdict(np.array([0, 0, 0], "f4")) is None
    assert verdict(np.array([-9999.0] * 4, "f4"))
