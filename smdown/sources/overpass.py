"""Which values of a station belong to a day: all of it, or those around the overpass of a satellite."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd


def days_around(
    times: pd.DatetimeIndex, longitude: float, overpass: float | None, window_hours: float
) -> tuple[pd.DatetimeIndex, npt.NDArray[np.bool_]]:
    """Return the day (UTC) that each time belongs to, and whether it counts.

    Without an overpass every time of a UTC day counts. With one, the day is that of the nearest overpass, and a time
    counts that is at most half the window away from it (as in QA4SM, whose window is 12 hours in total).

    Parameters
    ----------
    times : DatetimeIndex
        UTC.
    longitude : float
        Degrees east, for the local solar time.
    overpass : float, optional
        Its local solar hour.
    window_hours : float
        Length of the window, in total.

    Returns
    -------
    days : DatetimeIndex
        One for each time.
    inside : ndarray of bool
        Whether it counts.
    """
    if overpass is None:
        return times.floor("D"), np.ones(len(times), dtype=bool)
    hour = (overpass - longitude / 15) % 24
    shifted = times + pd.Timedelta(hours=12 - hour)
    away = np.abs((shifted - shifted.floor("D")) / pd.Timedelta(hours=1) - 12)
    return shifted.floor("D"), np.asarray(away <= window_hours / 2 + 1e-9)
