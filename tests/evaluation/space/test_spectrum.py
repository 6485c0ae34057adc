"""Spectra equal closed forms: white noise is flat, a wave is one peak, a power law has its slope; and they merge."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import fft

from smdown.evaluation.space.resolution import Scales, falls_under, figures, slope, smoothed
from smdown.evaluation.space.spectrum import MIN_VALID, Spectrum, bands, multiplicity, spectra_of, taper
from smdown.evaluation.space.windows import windows_of
from smdown.grid import EASE2_M09, NestedGrid, Window

SIDE = 128
SCALES = Scales(SIDE, 30.0, 64 * 30.0)


def law(beta, seed=0, side=SIDE):
    """Return a periodic field whose power density falls as the wavenumber to the -beta."""
    rng = np.random.default_rng(seed)
    k = np.hypot(*np.meshgrid(fft.fftfreq(side, 1 / side), fft.fftfreq(side, 1 / side)))
    k[0, 0] = np.inf
    wave = fft.fft2(rng.standard_normal((side, side))) * k ** (-beta / 2)
    return (0.25 + fft.ifft2(wave).real).astype(np.float32)


def summed(fields, *, referenced=False):
    total = [Spectrum() for _ in fields[0]]
    for window in fields:
        total = [a + b for a, b in zip(total, spectra_of(window, referenced=referenced), strict=True)]
    return total


def test_bands_hold_every_wavenumber_up_to_nyquist_once():
    found = bands(SIDE)
    along = fft.fftfreq(SIDE, 1 / SIDE)
    k = np.hypot(along[:, None], along[None, :])
    assert found.modes.sum() == ((k >= 1) & (k <= SIDE / 2)).sum()
    assert (found.modes > 0).all()
    assert (np.diff(found.wavenumber) > 0).all()
    assert multiplicity(SIDE).sum() == SIDE


def test_white_noise_is_flat_at_its_variance():
    rng = np.random.default_rng(1)
    (total,) = summed([[rng.normal(0.3, 0.05, (SIDE, SIDE)).astype(np.float32)] for _ in range(40)])
    power = SCALES.power(total)
    assert power[2:] == pytest.approx(0.05**2 * 30.0**2, rel=0.15)  # the plane takes from the longest
    assert figures(SCALES, {"a": total}, None)["a"]["slope"] == pytest.approx(0, abs=0.05)
    assert figures(SCALES, {"a": total}, None)["a"]["std"] == pytest.approx(0.05, rel=0.02)


def test_powers_sum_to_the_variance_of_the_tapered_window():
    field = law(2.0)
    field[10:20, 30:50] = np.nan
    (found,) = spectra_of([field], referenced=False)
    assert sum(found.power) / SIDE**2 == pytest.approx(found.variance, rel=1e-5)  # Parseval


@pytest.mark.parametrize("waves", [8, 20, 45])
def test_a_wave_is_one_peak_with_its_variance(waves):
    x = np.arange(SIDE)
    field = (0.1 * np.cos(2 * np.pi * waves * x / SIDE)[None, :] * np.ones((SIDE, 1))).astype(np.float32)
    (found,) = spectra_of([field], referenced=False)
    power = np.array(found.power[:-1])
    at = np.abs(bands(SIDE).wavenumber - waves).argmin()
    assert power.argmax() == at
    near = np.abs(np.arange(len(power)) - at) <= 1
    assert power[~near].sum() < 3e-4 * power.sum()  # the plane through the wave is not quite level
    assert power.sum() / SIDE**2 == pytest.approx(0.1**2 / 2, rel=0.01)


@pytest.mark.parametrize("beta", [1.0, 2.0, 3.0])
def test_a_power_law_has_its_slope(beta):
    (total,) = summed([[law(beta, seed)] for seed in range(20)])
    assert figures(SCALES, {"a": total}, None)["a"]["slope"] == pytest.approx(-beta, abs=0.2)


def test_a_plane_and_a_constant_have_no_power():
    y, x = np.mgrid[:SIDE, :SIDE]
    (found,) = spectra_of([(0.2 + 0.001 * y - 0.002 * x).astype(np.float32)], referenced=False)
    assert found.windows == 1
    assert found.variance < 1e-12


def test_the_resolution_of_a_smoothed_map_is_where_its_filter_halves_the_power():
    rng = np.random.default_rng(2)
    k = np.hypot(*np.meshgrid(fft.fftfreq(SIDE, 1 / SIDE), fft.fftfreq(SIDE, 1 / SIDE)))
    half = 16  # waves a window at which the filter halves the power
    gain = np.sqrt(0.5) ** ((k / half) ** 2)
    windows = []
    for _ in range(30):
        wave = fft.fft2(rng.standard_normal((SIDE, SIDE)))
        windows.append([fft.ifft2(w).real.astype(np.float32) for w in (wave, wave * gain)])
    truth, smooth = summed(windows, referenced=True)
    found = figures(SCALES, {"truth": truth, "map": smooth}, "truth")["map"]
    resolution = found["effective_resolution"]
    assert resolution["ratio_m"] == pytest.approx(SIDE * 30 / half, rel=0.06)
    assert resolution["coherence_bound"] == "finer"  # a filter loses power, not the place of things
    assert min(found["coherence"][:-4]) > 0.98
    np.testing.assert_allclose(np.square(found["correlation"]), found["coherence"])


def test_noise_has_power_and_no_coherence():
    rng = np.random.default_rng(3)
    windows = [[rng.standard_normal((SIDE, SIDE)).astype(np.float32) for _ in range(2)] for _ in range(30)]
    truth, noise = summed(windows, referenced=True)
    found = figures(SCALES, {"truth": truth, "map": noise}, "truth")["map"]
    assert found["effective_resolution"]["ratio_bound"] == "finer"
    assert found["effective_resolution"]["coherence_bound"] == "coarser"
    assert max(found["coherence"][3:]) < 0.05
    opposite = spectra_of([windows[0][0], -windows[0][0]], referenced=True)
    turned = figures(SCALES, dict(zip(("truth", "map"), opposite, strict=True)), "truth")["map"]
    assert turned["correlation"] == pytest.approx([-1.0] * len(turned["ratio"]))
    assert turned["effective_resolution"]["coherence_bound"] == "coarser"


def test_windows_with_too_few_pixels_are_skipped_and_the_others_keep_their_density():
    rng = np.random.default_rng(4)
    windows = [[rng.normal(0, 1, (SIDE, SIDE)).astype(np.float32)] for _ in range(30)]
    for (field,) in windows:
        field[rng.random((SIDE, SIDE)) < 0.08] = np.nan
    (total,) = summed(windows)
    assert (total.windows, total.skipped) == (30, 0)
    assert SCALES.power(total)[2:] == pytest.approx(900.0, rel=0.15)
    holed = windows[0][0].copy()
    holed[: int(SIDE * (1 - MIN_VALID)) + 1] = np.nan
    assert spectra_of([holed], referenced=False) == [Spectrum(skipped=1)]


def test_a_hann_window_is_that_of_scipy():
    from scipy.signal.windows import hann

    np.testing.assert_allclose(taper(50), hann(50, sym=False), atol=1e-7)


def test_curves_fall_where_they_cross():
    wavelength = np.array([800.0, 400.0, 200.0, 100.0])
    assert falls_under(wavelength, np.array([1.0, 0.9, 0.7, 0.6])) == (100.0, "finer")
    assert falls_under(wavelength, np.array([0.4, 0.9, 0.9, 0.9])) == (800.0, "coarser")
    at, bound = falls_under(wavelength, np.array([1.0, 0.75, 0.25, 0.9]))
    assert bound == "at"
    assert at == pytest.approx(math.sqrt(400 * 200))
    assert falls_under(wavelength, np.array([1.0, 0.75, np.nan, 0.1]))[1] == "at"
    np.testing.assert_allclose(smoothed(np.array([3.0, 9.0, 2.0, 1.0])), [3.0, 3.0, 2.0, 2.0])
    np.testing.assert_allclose(smoothed(np.array([0.4, 0.9, 0.7, 0.8])), [0.7, 0.7, 0.8, 0.8])
    np.testing.assert_allclose(smoothed(np.array([0.4, 0.9])), [0.4, 0.9])
    assert slope(wavelength, wavelength**3.0, 1e9, 0.0) == pytest.approx(-3.0)
    assert math.isnan(slope(wavelength, wavelength, 300.0, 150.0))


@settings(deadline=None, max_examples=60)
@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    y0=st.integers(0, 5),
    x0=st.integers(0, 5),
    side=st.integers(1, 5),
)
def test_any_tiling_has_each_window_once(height, width, y0, x0, side):
    grid = NestedGrid(EASE2_M09, Window(y0, y0 + height, x0, x0 + width), 9)
    found = [window for tile in grid.tiles(side) for window in windows_of(tile, grid)]
    whole = [window for tile in grid.tiles(max(height, width)) for window in windows_of(tile, grid)]
    assert sorted(found, key=repr) == sorted(whole, key=repr)
    assert len(set(found)) == len(found) > 0
    assert all(grid.cells.contains(window) for window in found)


def test_a_continent_has_a_few_thousand_windows():
    grid = NestedGrid(EASE2_M09, Window(0, 900, 0, 1200), 300)
    found = [window for tile in grid.tiles(300) for window in windows_of(tile, grid)]
    assert 1500 < len(found) <= 4096
    by_small = [window for tile in list(grid.tiles(7))[:300] for window in windows_of(tile, grid)]
    assert set(by_small) <= set(found)
