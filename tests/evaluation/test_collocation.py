"""Triple collocation equals pytesmo's and finds errors that were put in; what shares an origin is refused."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smdown.errors import ConfigError
from smdown.evaluation.collocation import (
    MEASURES,
    MINIMUM,
    SETS,
    CoMoments,
    anomalies,
    collocate,
    collocations,
    triple_collocation,
    triplet_summary,
)
from smdown.evaluation.config import CollocationConfig, check_independence

ERRORS = {"estimate": 0.02, "in_situ": 0.03, "product": 0.05}
SLOPES = {"estimate": 0.8, "in_situ": 1.0, "product": 1.5}


def triplets(n, seed=0):
    rng = np.random.default_rng(seed)
    truth = 0.25 + 0.06 * rng.standard_normal(n)
    return [SLOPES[name] * truth + ERRORS[name] * rng.standard_normal(n) for name in SETS]


def test_it_finds_the_errors_and_scales_that_were_put_in():
    found = dict(zip(SETS, triple_collocation(CoMoments.of(*triplets(200_000)).covariance), strict=True))
    for name in SETS:
        signal, noise = SLOPES[name] * 0.06, ERRORS[name]
        assert found[name]["err_std"] == pytest.approx(noise, rel=0.03)
        assert found[name]["beta"] == pytest.approx(1 / SLOPES[name], rel=0.01)
        assert found[name]["snr_db"] == pytest.approx(20 * math.log10(signal / noise), abs=0.2)
        assert found[name]["r"] == pytest.approx(signal / math.hypot(signal, noise), rel=0.01)


@pytest.mark.parametrize("n", [20, 150, 3000])
@pytest.mark.parametrize("reference", [0, 1, 2])
def test_it_agrees_with_pytesmo(n, reference):
    tcol = pytest.importorskip("pytesmo.metrics.tcol")
    values = triplets(n, seed=n)
    snr, err_std, beta = tcol.tcol_metrics(*values, ref_ind=reference)
    found = triple_collocation(CoMoments.of(*values).covariance, reference)
    assert [f["snr_db"] for f in found] == pytest.approx(list(snr), rel=1e-9)
    assert [f["beta"] for f in found] == pytest.approx(list(beta), rel=1e-9)
    scaled = [f["err_std"] * f["beta"] for f in found]
    assert scaled == pytest.approx(list(err_std), rel=1e-9, nan_ok=True)


@pytest.mark.filterwarnings("error")
def test_sets_that_contradict_each_other_have_no_error():
    covariance = np.array([[4.0, 1.0, -1.0], [1.0, 4.0, 1.0], [-1.0, 1.0, 4.0]])
    assert all(np.isnan(found["err_std"]) and np.isnan(found["r"]) for found in triple_collocation(covariance))
    constant = triple_collocation(np.diag([4.0, 4.0, 0.0]))
    assert np.isnan([found["err_std"] for found in constant]).all()


def test_a_negative_variance_is_nan_and_counted():
    covariance = np.array([[1.0, 0.9, 0.9], [0.9, 1.0, 0.2], [0.9, 0.2, 1.0]])
    found = triple_collocation(covariance)
    assert found[0]["err_var"] < 0
    assert math.isnan(found[0]["err_std"])
    assert math.isnan(found[0]["r"])
    assert math.isfinite(found[0]["snr_db"])
    rows = pd.DataFrame(
        [{"moments": CoMoments(200, np.zeros(3), covariance)}
         | {f"{s}_{m}": f[m] for s, f in zip(SETS, found, strict=True) for m in MEASURES}] * 2
    )  # fmt: skip
    assert triplet_summary(rows)["median"]["estimate"]["negative"] == 2
    assert triplet_summary(rows)["median"]["in_situ"]["negative"] == 0


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 80), st.data())
def test_moments_merge_over_any_chunking(n, data):
    values = np.stack([v.astype(float) for v in triplets(n, seed=n)], axis=-1)
    if n:
        values[:: max(1, n // 5), 1] = np.nan
    cuts = sorted(data.draw(st.lists(st.integers(0, n), max_size=5)))
    parts = np.split(values, cuts)
    total = CoMoments.of([], [], [])
    for i in data.draw(st.permutations(range(len(parts)))):
        total = total + CoMoments.of(*parts[i].T)
    whole = CoMoments.of(*values.T)
    assert total.n == whole.n
    np.testing.assert_allclose(total.mean, whole.mean, rtol=1e-9)
    np.testing.assert_allclose(total.m2, whole.m2, rtol=1e-8, atol=1e-12)
    known = values[np.isfinite(values).all(axis=1)]
    if len(known) > 1:
        np.testing.assert_allclose(whole.covariance, np.cov(known.T), rtol=1e-9)


def test_anomalies_lose_the_season():
    days = pd.date_range("2020-01-01", periods=400)
    season = 0.1 * np.sin(2 * np.pi * np.arange(400) / 365)
    fast = np.random.default_rng(0).normal(0, 0.01, 400)
    series = pd.DataFrame({"a": season + fast}, index=days)
    left = anomalies(series, 35)["a"]
    assert left.std() < 0.013
    assert np.corrcoef(left[20:-20], fast[20:-20])[0, 1] > 0.95
    assert anomalies(series, None)["a"].mean() == pytest.approx(0, abs=1e-12)
    sparse = anomalies(series.iloc[::30], 35)
    assert sparse["a"].isna().all()  # one value in a month has no anomaly from the month


def matchups(stations=3, n=400):
    rows = []
    for s in range(stations):
        estimate, observed, product = triplets(n, seed=100 + s)
        days = pd.date_range("2019-01-01", periods=n).strftime("%Y-%m-%d")
        rows += [
            {"station": f"s{s}", "network": "N", "layer": "sm", "day": d, "held_out": s < 2, "cell": "0,0",
             "observed": o + s, "std": 0.02, "ensemble": e, "coarse_nearest": e + 0.01, "era": p}
            for d, e, o, p in zip(days, estimate, observed, product, strict=True)
        ]  # fmt: skip
    table = pd.DataFrame(rows)
    return table.drop(columns="era"), table[["station", "layer", "day", "era"]]


def test_stations_are_pooled_about_their_own_means_and_unseen_ones_alone_count():
    table, samples = matchups()
    found, by_station = collocations(table, samples, {"era": ["sm"], "absent": ["sm"]}, None)
    ours = found["sm"]["era"]["ensemble"]
    assert (ours["n"], ours["stations"], ours["stations_used"]) == (800, 2, 2)
    assert ours["pooled"]["in_situ"]["err_std"] == pytest.approx(0.03, rel=0.2)  # offsets between stations apart
    assert ours["pooled"]["estimate"] == pytest.approx(found["sm"]["era"]["coarse_nearest"]["pooled"]["estimate"])
    assert set(by_station["station"]) == {"s0", "s1"}
    assert len(by_station) == 4
    one = triple_collocation(np.cov(*[np.vstack(triplets(400, seed=100))]))
    row = by_station[(by_station["station"] == "s0") & (by_station["member"] == "ensemble")].iloc[0]
    assert [row[f"{s}_err_std"] for s in SETS] == pytest.approx([f["err_std"] for f in one])


def test_short_series_and_absent_products_give_nothing():
    table, samples = matchups(n=MINIMUM - 1)
    assert collocations(table, samples, {"era": ["sm"]}, None)[0] == {}
    assert collocations(pd.DataFrame(), samples, {"era": ["sm"]}, None)[0] == {}
    joined = table.assign(era=samples["era"])
    joined.loc[5:, "era"] = np.nan
    assert collocate(joined, "era", "ensemble", None).empty


def config(**product):
    return CollocationConfig.model_validate({"products": {"third": {"variables": {"sm": "swvl1"}} | product}})


KINDS = {"coarse": "smap_l4", "era": "netcdf", "rain": "netcdf", "ismn": "ismn", "enhanced": "smap_l3"}


@pytest.mark.parametrize(
    ("product", "shared"),
    [
        ({"source": "coarse"}, "coarse"),
        ({"source": "enhanced"}, "smap"),
        ({"source": "era", "derives_from": ["SMAP"]}, "smap"),
        ({"source": "era", "derives_from": ["rain"]}, "rain"),
        ({"source": "era", "derives_from": ["ismn"]}, "ismn"),
    ],
)
def test_what_shares_an_origin_is_refused(product, shared):
    with pytest.raises(ConfigError, match=f"derives from .*{shared}"):
        check_independence(config(**product), ["coarse", "rain"], "ismn", KINDS)


def test_what_shares_none_is_taken():
    check_independence(config(source="era", derives_from=["era5"]), ["coarse", "rain"], "ismn", KINDS)
