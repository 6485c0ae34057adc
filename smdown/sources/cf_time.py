"""Time of a CF variable: which axis it is, which steps belong to which day, and what counts as no time at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from smdown.errors import InputError
from smdown.sources.config import NetcdfConfig
from smdown.sources.context import IngestContext
from smdown.sources.places import Place

_TIME_NAMES = ("time", "valid_time", "t", "date", "day")


@dataclass(frozen=True)
class Step:
    """One time step of a file.

    Parameters
    ----------
    path : Place
        The file.
    index : int
        Position on its time axis.
    stamp : datetime64
        Its time, shifted as configured.
    """

    path: Place
    index: int
    stamp: np.datetime64


def find_time(array: xr.DataArray) -> str | None:
    """Return the time dimension of a variable, None where it has none."""
    for dim in array.dims:
        if dim in array.coords:
            coordinate = array[dim]
            named = str(dim).lower() in _TIME_NAMES or coordinate.attrs.get("standard_name") == "time"
            if coordinate.dtype.kind == "M" or (named and coordinate.dtype.kind == "O"):
                return str(dim)
    return None


def steps_of(array: xr.DataArray, path: Place, shift_hours: float) -> list[Step]:
    """Return the time steps of a variable, none where it has no time."""
    dim = find_time(array)
    if dim is None:
        return []
    shift = np.timedelta64(round(shift_hours * 3600), "s")
    return [Step(path, n, stamp + shift) for n, stamp in enumerate(stamps(array[dim].values))]


def stamps(values: npt.NDArray[Any]) -> npt.NDArray[np.datetime64]:
    """Return times as datetime64 in seconds; other calendars keep their date as written."""
    if values.dtype.kind == "M":
        return values.astype("datetime64[s]")
    return np.array([np.datetime64(v.isoformat(), "s") for v in values])


def days_of_steps(
    steps: list[Step], context: IngestContext, config: NetcdfConfig, name: str, notes: list[str]
) -> dict[str, tuple[Step, ...]] | None:
    """Return the steps of each day of the period; None for a variable without time.

    A single time step outside the period is of no day either (a land-sea mask stamped with the day it was made).

    Raises
    ------
    InputError
        If no step lies in the period, or a day has several and `daily` does not say what to do.
    """
    known = [s for s in steps if not np.isnat(s.stamp)]
    within = [s for s in known if context.first <= str(s.stamp.astype("datetime64[D]")) <= context.end]
    if not known or name in config.static or (len(known) == 1 and not within):
        return None
    if not within:
        first, last = (f(s.stamp for s in known).astype("datetime64[D]") for f in (min, max))
        raise InputError(
            f"got {name} from {first} to {last}, no day of it in the period {context.first} to {context.end}; "
            "change the period, or name other files"
        )
    unique = {s.stamp: s for s in sorted(within, key=lambda s: (s.stamp, str(s.path)), reverse=True)}
    if len(unique) < len(within):
        left = next(s for s in within if unique[s.stamp] is not s)
        kept = unique[left.stamp].path
        notes.append(
            f"{name}: {len(within) - len(unique)} repeated time steps set aside, {left.stamp} of {left.path.name} "
            f"the first ({kept.name} has it too)"
        )
    days: dict[str, list[Step]] = {}
    for stamp in sorted(unique):
        days.setdefault(str(stamp.astype("datetime64[D]")), []).append(unique[stamp])
    return _enough(days, config, name, notes)


def _enough(
    days: dict[str, list[Step]], config: NetcdfConfig, name: str, notes: list[str]
) -> dict[str, tuple[Step, ...]]:
    crowded = [day for day, steps in days.items() if len(steps) > 1]
    if crowded and config.daily == "none":
        raise InputError(f"got {name} with {len(days[crowded[0]])} values on {crowded[0]}; set daily to mean or sum")
    kept = {day: tuple(steps) for day, steps in days.items() if len(steps) >= config.minimum_steps}
    usual = max(len(steps) for steps in days.values())
    if partial := sum(len(steps) < usual for steps in days.values()):
        notes.append(f"{name}: {partial} days have fewer than {usual} time steps")
    if not kept:
        raise InputError(f"got {name} with at most {usual} time steps a day; lower minimum_steps")
    return kept
