"""The report's findings in plain words, and numbers as people read them."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from smdown.evaluation.job import LayerInput
from smdown.evaluation.record import Record

DASH = "\N{EN DASH}"
"""Stands for what is not known."""
_RAISED = str.maketrans(
    "-0123456789",
    "\N{SUPERSCRIPT MINUS}\N{SUPERSCRIPT ZERO}\N{SUPERSCRIPT ONE}\N{SUPERSCRIPT TWO}"
    "\N{SUPERSCRIPT THREE}\N{SUPERSCRIPT FOUR}\N{SUPERSCRIPT FIVE}\N{SUPERSCRIPT SIX}"
    "\N{SUPERSCRIPT SEVEN}\N{SUPERSCRIPT EIGHT}\N{SUPERSCRIPT NINE}",
)
BASELINES = ("linear", "gradient_boosting", "coarse_nearest", "coarse_cubic")
"""What the map is held against, simpler models and the coarse product."""
FOLLOWS = 0.1
"""Least correlation inside coarse cells at which a map is said to follow the truth."""
JOINED = ("ensemble", "mean")
"""Estimates made of all networks."""
NAMES = {
    "ensemble": "Ensemble (the map)",
    "dnn": "DNN",
    "cnn": "CNN",
    "lstm": "LSTM",
    "mean": "Plain mean of the networks",
    "linear": "Linear regression",
    "gradient_boosting": "Gradient boosting",
    "coarse_nearest": "Coarse value as it is",
    "coarse_cubic": "Coarse, cubic interpolation",
    "truth": "Fine truth",
    "stations": "Stations that training never saw",
    "stations_training": "Stations used in training",
}


def name_of(key: str) -> str:
    """Return what people call a member or reference."""
    return NAMES.get(key, key.replace("_", " "))


def figures(value: float, digits: int = 3) -> str:
    """Return a number with so many significant digits and no exponent in the usual range, a dash for NaN."""
    if not math.isfinite(value):
        return DASH
    if value == 0:
        return "0"
    places = digits - 1 - math.floor(math.log10(abs(value)))
    if not -6 <= places <= digits + 4:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        power = str(int(exponent)).translate(_RAISED)
        return f"{mantissa} \N{MULTIPLICATION SIGN} 10{power}".replace("-", "\N{MINUS SIGN}")
    text = f"{value:.{max(places, 0)}f}"
    return text.replace("-", "\N{MINUS SIGN}")


def fixed(value: float, largest: float, digits: int = 3) -> str:
    """Return a number with the decimals that give the largest of its column so many significant digits."""
    if not math.isfinite(value):
        return DASH
    places = digits - 1 - math.floor(math.log10(largest)) if math.isfinite(largest) and largest > 0 else digits
    text = f"{value:.{min(max(places, 0), 9)}f}"
    return (text.removeprefix("-") if float(text) == 0 else text).replace("-", "\N{MINUS SIGN}")


def percent(value: float) -> str:
    """Return a share as a percentage."""
    if not math.isfinite(value):
        return DASH
    text = f"{value:.1%}" if 0.0005 <= abs(value) < 0.0995 else f"{value:.0%}"
    return text.replace("-", "\N{MINUS SIGN}").replace("%", "\N{NO-BREAK SPACE}%")


def count(value: float) -> str:
    """Return a whole number with thin spaces between thousands."""
    return f"{value:,.0f}".replace(",", "\N{THIN SPACE}") if math.isfinite(value) else DASH


def counted(value: float, what: str) -> str:
    """Return a number of things, the thing in the singular where there is one."""
    return f"{count(value)} {what}" if value == 1 else f"{count(value)} {what}s"


def amount(value: float, units: str, digits: int = 3) -> str:
    """Return a number with its units, kept on one line."""
    return f"{figures(value, digits)} {units}".rstrip().replace(" ", "\N{NO-BREAK SPACE}")


def pretty_units(units: str) -> str:
    """Return units with superscripts and without line breaks, as in m³ m⁻³."""
    text = re.sub(r"(?<=[A-Za-z])(-?\d)", lambda m: m[1].translate(_RAISED), units)
    return text.replace(" ", "\N{NO-BREAK SPACE}")


@dataclass(frozen=True)
class KeyNumber:
    """One of the large numbers at the top.

    Parameters
    ----------
    value, label, note, units : str
        The number, what it is, what to hold it against, and its units.
    """

    value: str
    label: str
    note: str = ""
    units: str = ""


def key_numbers(record: Record, layer: LayerInput) -> list[KeyNumber]:
    """Return the numbers that matter most for a layer, as far as they are known."""
    out: list[KeyNumber] = []
    units = pretty_units(layer.units)
    for reference, what in (
        ("truth", "error (RMSE) against the fine truth"),
        ("stations", "error (RMSE) at unseen stations"),
    ):
        members = record.members(layer.name, reference)
        if "ensemble" not in members:
            continue
        ensemble = members["ensemble"]
        base = members.get("coarse_nearest", {}).get("rmse", math.nan)
        note = f"coarse value: {figures(base)} ({_change(ensemble['rmse_gain'])})"
        out.append(KeyNumber(figures(ensemble["rmse"]), what, note, units))
        within = ensemble.get("r_within_cell", math.nan)
        if reference == "truth" and math.isfinite(within):
            note = "the coarse product has none there" + _cubic_within(members)
            out.append(KeyNumber(figures(within, 2), "correlation inside coarse cells", note))
        covered = ensemble.get("coverage_90", math.nan)
        if reference == "truth" and math.isfinite(covered):
            out.append(KeyNumber(percent(covered), "of the truth inside the 90 % interval", "90 % would be exact"))
    mass = record.consistency(layer.name)
    if mass.get("cells_checked", 0) > 0:
        note = (
            f"{counted(mass['cells_checked'], 'cell value')} checked, {count(mass['cells_flagged'])} could not be met"
        )
        label = "largest departure of a cell's mean from the coarse value"
        out.append(KeyNumber(figures(mass["max_abs_difference"], 2), label, note, units))
    return out


def _change(gain: float) -> str:
    if not math.isfinite(gain):
        return "no comparison"
    return f"{percent(gain)} less" if gain >= 0 else f"{percent(-gain)} more"


def _cubic_within(members: dict[str, dict[str, float]]) -> str:
    within = members.get("coarse_cubic", {}).get("r_within_cell", math.nan)
    return f"; its cubic interpolation: {figures(within, 2)}" if math.isfinite(within) else ""


def findings(record: Record, layer: LayerInput) -> list[str]:
    """Return a layer's findings as sentences, good ones and bad ones alike."""
    truth, stations = record.members(layer.name, "truth"), record.members(layer.name, "stations")
    out = _truth_findings(truth, pretty_units(layer.units))
    out += _station_findings(stations, pretty_units(layer.units))
    if not out:
        out.append(_unjudged(record, layer))
    out += _consistency_findings(record.consistency(layer.name), pretty_units(layer.units))
    return out


def _unjudged(record: Record, layer: LayerInput) -> str:
    """Return why nothing can be said of the map's errors, and what that leaves open."""
    job, trained = record.job, record.members(layer.name, "stations_training").get("ensemble", {})
    if not record.metrics:
        why = "The map has not been evaluated yet"
    elif trained.get("n", 0) > 0:
        why = "No fine truth was given for this layer, and training saw all of its stations"
    elif job is not None and (job.truth_url or job.stations_url):
        why = "No fine truth and no station tells of this layer where and when the map has a value"
    else:
        why = "No fine truth and no stations were given for this layer"
    return (
        f"{why}: how right the pattern inside the coarse cells is remains unknown. What follows shows how far the map "
        "agrees with the coarse product, and what it relies on."
    )


def _truth_findings(members: dict[str, dict[str, float]], units: str) -> list[str]:
    if "ensemble" not in members:
        return []
    ensemble = members["ensemble"]
    cubic = members.get("coarse_cubic", {}).get("rmse", math.nan)
    over_cubic = 1 - ensemble["rmse"] / cubic if cubic > 0 else math.nan
    out = [
        (
            f"Against the fine truth ({counted(ensemble['n'], 'pixel')}) the map's error is "
            f"{amount(ensemble['rmse'], units)}: {_change(ensemble['rmse_gain'])} than that of the coarse value, "
            f"{_change(over_cubic)} than that of its cubic interpolation."
        )
    ]
    if math.isfinite(within := ensemble.get("r_within_cell", math.nan)):
        ratio = ensemble["var_ratio_within"]
        out.append(
            "Inside the coarse cells, where the coarse product shows nothing, the map "
            + ("follows" if within >= FOLLOWS else "does not follow")
            + f" the truth: the correlation is {figures(within, 2)}, and it holds {percent(ratio)} of its variance"
            + (": it is smoother than the ground." if ratio < 0.9 else "")
            + (": it is rougher than the ground." if ratio > 1.1 else "")
            + ("." if 0.9 <= ratio <= 1.1 else "")
        )
    return out + _best_member(members)


def _best_member(members: dict[str, dict[str, float]]) -> list[str]:
    networks = {m: v["rmse"] for m, v in members.items() if m not in (*JOINED, *BASELINES)}
    models: dict[str, float] = {m: members[m]["rmse"] for m in BASELINES[:2] if m in members}
    ensemble = members["ensemble"]["rmse"]
    return [
        *_against(ensemble, networks, "best single network", "its best single network"),
        *_against(ensemble, models, "best baseline model", "the best baseline model from the same drivers"),
    ]


def _against(ensemble: float, others: dict[str, float], what: str, beaten: str) -> list[str]:
    if not others:
        return []
    best = min(others, key=lambda m: others[m])
    difference = ensemble / others[best] - 1
    if abs(difference) < 0.005:
        return [f"The ensemble is as good as the {what} ({name_of(best)})."]
    if difference < 0:
        return [f"The ensemble beats {beaten} ({name_of(best)}) by {percent(-difference)}."]
    return [f"The {what} ({name_of(best)}) beats the ensemble by {percent(difference)}."]


def _station_findings(members: dict[str, dict[str, float]], units: str) -> list[str]:
    if "ensemble" not in members or members["ensemble"]["n"] == 0:
        return []
    ensemble = members["ensemble"]
    base, own = members.get("coarse_nearest", {}).get("r", math.nan), ensemble["r"]
    against = f"against {figures(base, 2)}" if math.isfinite(base) else "where the coarse value has none"
    return [
        f"At {counted(ensemble['stations'], 'station')} that training never saw ({counted(ensemble['n'], 'pair')}) "
        f"the error is {amount(ensemble['rmse'], units)}, {_change(ensemble['rmse_gain'])} than that of the coarse "
        "value" + (f"; correlation {figures(own, 2)} {against}." if math.isfinite(own) else ".")
    ]


def _consistency_findings(mass: dict[str, float], units: str) -> list[str]:
    if not mass.get("cells_checked"):
        return []
    flagged = mass["cells_flagged"]
    out = (
        f"The mean over a coarse cell departs from the coarse value by "
        f"{amount(mass['max_abs_difference'], units, 2)} at most ({counted(mass['cells_checked'], 'cell value')}"
        + (f"; {count(flagged)} could not be met and are flagged)" if flagged else ")")
    )
    outside = mass["pixels_outside_bounds"]
    bounds = "no pixel leaves its physical bounds" if not outside else f"pixels outside their bounds: {count(outside)}"
    tile, cell = mass.get("tile_edge_ratio", math.nan), mass.get("cell_border_ratio", math.nan)
    steps = ""
    if math.isfinite(tile) and cell > 0:
        steps = f"; steps across tile edges are {figures(tile / cell, 2)} times those across other cell borders"
    return [f"{out}; {bounds}{steps}."]
