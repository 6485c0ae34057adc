"""Days that are trained on and days that are held out, with an embargo between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from smdown.errors import ConfigError

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Period:
    """Roles of days.

    Parameters
    ----------
    training, validation : ndarray of bool
        Per day. Without a temporal hold-out every day is both: cells part the roles then.
    """

    training: Flags
    validation: Flags


def lookback(spec: Any) -> int:
    """Return how many days a sample sees, its own included."""
    back = getattr(spec, "lead_days", 0) + 1
    return max(back, spec.sequence.days if spec.sequence is not None else 1)


def part_days(days: tuple[str, ...], fraction: float, embargo: int | None, seen: int) -> Period:
    """Hold out the end of the period.

    Parameters
    ----------
    days : tuple of str
        ISO days, in order.
    fraction : float
        Share of the time from the first day to the last that is held out; 0 for none.
    embargo : int, optional
        Days between the last training day and the first one held out, counting the latter; `seen` by default.
    seen : int
        Days that a sample sees, its own included: with less between them, both would see the same rain.

    Raises
    ------
    ConfigError
        If the embargo is shorter than what a sample sees, or nothing is left to train on.
    """
    if not fraction:
        every = np.ones(len(days), dtype=bool)
        return Period(every, every)
    gap = seen if embargo is None else embargo
    if gap < seen:
        raise ConfigError(
            f"got an embargo of {gap} days, but samples see {seen} days of weather; set embargo_days to {seen} or more"
        )
    time = np.array(days, dtype="datetime64[D]").astype(np.int64)
    first = time[-1] - fraction * (time[-1] - time[0])
    held = time >= first
    training = time <= time[held].min() - gap
    if not training.any():
        raise ConfigError(
            f"got no day to train on before the {int(held.sum())} days held out and the embargo of {gap}; "
            "lengthen the period or lower hold_out_days"
        )
    return Period(training, held)
