"""Do intervals cover what they say: simulated stations whose true figures are known, day after day alike.

``python -m benchmarks.intervals [--quick] [--json FILE] [--series N]``. The station is a first-order autoregressive
series, the estimate is that series times 0.8 plus an offset plus an error, autoregressive too. Four kinds of 95 %
interval are made for each of many such pairs: as for independent days (pytesmo, QA4SM), with the effective sample size,
from a moving-block bootstrap (Politis and White's length), and those that are reported. Coverage is the share that
holds the true figure.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.signal import lfilter

from benchmarks import machine, record
from smdown.evaluation import metrics
from smdown.evaluation.metrics.anomalies import WINDOW

SLOPE, OFFSET = 0.8, 0.5
MEMORIES = (
    (0.0, 0.0),
    (0.5, 0.5),
    (0.8, 0.8),
    (0.9, 0.9),
    (0.95, 0.95),
    (0.98, 0.98),
    (0.95, 0.8),
    (0.95, 0.5),
    (0.98, 0.9),
)
LENGTHS = (60, 120, 365, 730, 1095)
CORRELATIONS = (0.3, 0.8, 0.95)
WORTH = 9
"""``n (1 - phi) / (1 + phi)`` from which on the reported intervals are said to hold."""
GAPS = {"every day": 1.0, "30 % of days missing": 0.7, "every third day": 1 / 3}


@dataclass(frozen=True)
class Case:
    """One kind of series.

    Parameters
    ----------
    station, error : float
        Autocorrelation from day to day of the station, and of the estimate's error.
    days : int
        Length.
    r : float
        True correlation.
    gaps : str
        Which days there are.
    """

    station: float
    error: float
    days: int
    r: float
    gaps: str = "every day"

    @property
    def worth(self) -> float:
        """Days that would tell as much if they were independent, of the longer memory."""
        phi = max(self.station, self.error)
        return self.days * (1 - phi) / (1 + phi)

    @property
    def spread(self) -> float:
        """Standard deviation of the error."""
        return SLOPE * float(np.sqrt(1 / self.r**2 - 1))

    def truth(self) -> dict[str, float]:
        """Return the true figures; that of anomalies from the share of variance that the moving average leaves."""
        ubrmse = float(np.hypot(SLOPE - 1, self.spread))
        signal, noise = SLOPE**2 * left_over(self.station), self.spread**2 * left_over(self.error)
        return {
            "r": self.r, "rho": float(6 / np.pi * np.arcsin(self.r / 2)), "bias": OFFSET,
            "rmse": float(np.hypot(OFFSET, ubrmse)), "ubrmse": ubrmse, "slope": SLOPE,
            "anomaly_r": float(np.sqrt(signal / (signal + noise))),
        }  # fmt: skip

    def draw(self, rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return estimates and stations, ``(series, day)``."""
        y = autoregressive(rng, self.station, (count, self.days))
        x = OFFSET + SLOPE * y + self.spread * autoregressive(rng, self.error, (count, self.days))
        if self.gaps == "every third day":
            x[:, np.arange(self.days) % 3 != 0] = np.nan
        elif GAPS[self.gaps] < 1:
            x[rng.random(x.shape) > GAPS[self.gaps]] = np.nan
        return x, y


def autoregressive(rng: np.random.Generator, phi: float, shape: tuple[int, int]) -> np.ndarray:
    """Return stationary first-order autoregressive series of variance 1."""
    noise = rng.standard_normal(shape)
    noise[:, 1:] *= np.sqrt(1 - phi**2)
    return lfilter([1.0], [1.0, -phi], noise, axis=1)


def left_over(phi: float) -> float:
    """Return the variance of anomalies from the moving average of such a series."""
    weights = -np.full(WINDOW, 1 / WINDOW)
    weights[WINDOW // 2] += 1
    k = np.arange(WINDOW)
    return float(weights @ phi ** np.abs(k[:, None] - k) @ weights)


def cases(quick: bool) -> list[Case]:
    if quick:
        return [Case(a, b, n, 0.8) for a, b in ((0.0, 0.0), (0.9, 0.9), (0.95, 0.5)) for n in (120, 365)]
    every = [Case(a, b, n, r) for a, b in MEMORIES for n in LENGTHS for r in CORRELATIONS]
    gaps = [Case(a, b, n, 0.8, g) for g in list(GAPS)[1:] for a, b in MEMORIES[2:5] for n in (365, 1095)]
    return every + gaps


def intervals_of(x: np.ndarray, y: np.ndarray, blocks: int) -> Iterator[tuple[str, str, Any]]:
    """Yield method, figure and ends; the bootstrap only of the first few series."""
    for name, ends in metrics.analytic_intervals(x, y).items():
        yield "independent days", name, ends
    for name, ends in metrics.analytic_intervals(x, y, metrics.effective_sizes(x, y)).items():
        yield "effective size", name, ends
    for name, ends in metrics.intervals(x, y).items():
        yield "reported", name, ends
    both = np.isfinite(x) & np.isfinite(y)
    parts = (metrics.moving_anomalies(np.where(both, v, np.nan)) for v in (x, y))
    yield "reported", "anomaly_r", metrics.intervals(*parts)["r"]
    drawn = [
        metrics.block_intervals(a, b, metrics.block_length(a - b)) for a, b in zip(x[:blocks], y[:blocks], strict=True)
    ]
    for name in drawn[0]:
        yield "moving blocks", name, tuple(np.array([one[name][end][0] for one in drawn]) for end in (0, 1))


def measure(case: Case, rng: np.random.Generator, series: int, blocks: int) -> list[dict[str, Any]]:
    x, y = case.draw(rng, series)
    truth, rows = case.truth(), []
    for method, name, (low, high) in intervals_of(x, y, blocks):
        known = np.isfinite(low) & np.isfinite(high)
        if known.any():
            held = (low <= truth[name]) & (truth[name] <= high)
            rows.append(
                {
                    "job": f"phi {case.station:g}, {case.error:g}; {case.days} days; R {case.r:g}; {case.gaps}",
                    "method": method, "figure": name, "phi_station": case.station, "phi_error": case.error,
                    "days": case.days, "r": case.r, "gaps": case.gaps, "worth": round(case.worth, 1),
                    "coverage": float(held[known].mean()), "median_width": float(np.median((high - low)[known])),
                    "series": int(known.sum()),
                }
            )  # fmt: skip
    return rows


def claims(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Set the least and the largest coverage of each figure, where series are worth enough, beside the bars."""
    some = [r for r in rows if r["method"] == "reported" and r["worth"] >= WORTH and r["gaps"] == "every day"]
    out = []
    for name in dict.fromkeys(r["figure"] for r in some):
        coverage = [100 * r["coverage"] for r in some if r["figure"] == name]
        text = f"{name}: coverage of 95 % intervals, n (1 - phi) / (1 + phi) >= {WORTH}"
        out.append(record.claim(f"{text}, least of {len(coverage)} cases", round(min(coverage), 2), "%", ">=", 93))
        out.append(record.claim(f"{text}, largest", round(max(coverage), 2), "%", "<=", 97))
    return out


def print_table(rows: list[dict[str, Any]]) -> None:
    names = list(dict.fromkeys(r["figure"] for r in rows))
    print(f"{'coverage, %':<48}{'method':<18}" + "".join(f"{n:>10}" for n in names))
    for job in dict.fromkeys(r["job"] for r in rows):
        for method in dict.fromkeys(r["method"] for r in rows if r["job"] == job):
            found = {r["figure"]: r["coverage"] for r in rows if r["job"] == job and r["method"] == method}
            cells = "".join(f"{100 * found[n]:>10.1f}" if n in found else " " * 10 for n in names)
            print(f"{job:<48}{method:<18}" + cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="six kinds of series, few of each")
    parser.add_argument("--series", type=int, help="simulated stations of each kind (default: 4000, 1000 if quick)")
    parser.add_argument("--json", type=Path, help="file to write the record to")
    options = parser.parse_args()
    series = options.series or (1000 if options.quick else 4000)
    rng, rows = np.random.default_rng(7), []
    for case in cases(options.quick):
        rows += measure(case, rng, series, min(series, 100 if options.quick else 500))
    print_table(rows)
    promises = claims(rows)
    for promise in promises:
        print(f"{promise['value']} {promise['unit']}  ({promise['bar']})  {promise['claim']}")
    if options.json:
        record.write(options.json, machine.facts(("smdown", "numpy", "scipy")), rows, promises)


if __name__ == "__main__":
    main()
