"""What the runs of `benchmarks.skill` add up to: rows as measured, their mean and spread over seeds, and claims."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from statistics import mean, stdev
from typing import Any

from benchmarks import record

FIGURES = ("rmse", "r_within_cell", "crps", "coverage_90", "bias", "rmse_gain", "rmse_ratio_low", "rmse_ratio_high")
COARSE = ("coarse_nearest", "coarse_cubic")
MODELS = ("linear", "gradient_boosting")
JOINED = ("ensemble", "mean")
Row = dict[str, Any]


def rows_of(labels: str, resolutions: str, seed: int, found: dict[str, Any]) -> Iterator[Row]:
    """Yield one row per layer, reference and estimate of a finished run."""
    for layer, references in found["metrics"].items():
        for reference in ("truth", "stations"):
            for method, figures in references.get(reference, {}).items():
                row = {"job": f"{labels} at {resolutions}", "labels": labels, "resolutions": resolutions, "seed": seed}
                row |= {"layer": layer, "reference": reference, "method": method, "seconds": found["seconds"]}
                yield row | {name: figures.get(name) for name in FIGURES}


def over_seeds(rows: Iterable[Row], figure: str) -> tuple[float, float, int]:
    """Return mean, standard deviation and number of a figure over the seeds of some rows; NaN where none has it."""
    known = [row[figure] for row in rows if row[figure] is not None and math.isfinite(row[figure])]
    if not known:
        return math.nan, math.nan, 0
    return mean(known), stdev(known) if len(known) > 1 else math.nan, len(known)


def select(rows: list[Row], **wanted: Any) -> list[Row]:
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def names(rows: list[Row], key: str) -> list[Any]:
    return list(dict.fromkeys(row[key] for row in rows))


def print_table(rows: list[Row]) -> None:
    """Print mean and spread over seeds, against the truth."""
    known = select(rows, reference="truth")
    heading = ("RMSE", "R inside cells", "CRPS", "90 % holds")
    for job in names(known, "job"):
        for layer in names(known, "layer"):
            some = select(known, job=job, layer=layer)
            print(f"\n{job}, {layer} ({len(names(some, 'seed'))} seeds)")
            print(f"  {'':<20}" + "".join(f"{text:>20}" for text in heading))
            for method in names(some, "method"):
                own = select(some, method=method)
                cells = [over_seeds(own, f) for f in ("rmse", "r_within_cell", "crps", "coverage_90")]
                print(f"  {method:<20}" + "".join(f"{_text(*cell):>20}" for cell in cells))


def _text(centre: float, spread: float, count: int) -> str:
    if not count:
        return "-"
    return f"{centre:.4f}" + (f" +- {spread:.4f}" if count > 1 else "")


def claims(rows: list[Row], user: str) -> list[dict[str, Any]]:
    """Set the ensemble beside all others, for each kind of label at all resolutions."""
    known = [row for row in select(rows, reference="truth") if row["resolutions"] == "all"]
    found, won = [], []
    for labels in names(known, "labels"):
        some = select(known, labels=labels)
        own = list(_beaten(some, labels)) + list(_covered(some, labels))
        found += own
        if all(claim["holds"] for claim in own if claim["counts"]):
            won.append(labels)
    if known:
        text = (
            f"kinds of label where all that holds (networks, coarse, boosting, intervals): {', '.join(won) or 'none'}"
        )
        found.append(record.claim(text, len(won), "of them", ">=", 2))
        found.append(record.claim(f"{user} is one of them", float(user in won), "", ">=", 1))
    return [{key: value for key, value in claim.items() if key != "counts"} for claim in found]


def _beaten(rows: list[Row], labels: str) -> Iterator[dict[str, Any]]:
    """Yield by how much the ensemble's RMSE, the mean over seeds, is below the others', in the worse layer."""
    methods = names(rows, "method")
    networks = [m for m in methods if m not in (*JOINED, *MODELS, *COARSE)]
    for what, others, counts in (
        ("every single network", networks, True),
        ("both coarse baselines", COARSE, True),
        ("gradient boosting", ("gradient_boosting",), True),
        ("linear regression", ("linear",), False),
        ("the plain mean of the networks", ("mean",), False),
    ):
        gains = [(gain, layer, best) for layer in names(rows, "layer") for gain, best in _gain(rows, layer, others)]
        if gains:
            gain, layer, best = min(gains)
            text = f"{labels}: the ensemble beats {what} in both layers (least: {layer} against {best})"
            yield record.claim(text, round(100 * gain, 2), "% less RMSE", ">=", 0) | {"counts": counts}


def _gain(rows: list[Row], layer: str, others: Iterable[str]) -> Iterator[tuple[float, str]]:
    base = over_seeds(select(rows, layer=layer, method="ensemble"), "rmse")[0]
    for other in others:
        error = over_seeds(select(rows, layer=layer, method=other), "rmse")[0]
        if math.isfinite(error):
            yield 1 - base / error, other


def _covered(rows: list[Row], labels: str) -> Iterator[dict[str, Any]]:
    shares = {
        layer: over_seeds(select(rows, layer=layer, method="ensemble"), "coverage_90")[0]
        for layer in names(rows, "layer")
    }
    for what, sign, bar in ((min(shares.values()), ">=", 85), (max(shares.values()), "<=", 95)):
        text = f"{labels}: nominal 90 % intervals cover 85-95 % of the truth in both layers"
        yield record.claim(text, round(100 * what, 1), "%", sign, bar) | {"counts": True}
