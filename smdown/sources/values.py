"""Turning stored numbers into float32 with NaN for whatever is missing."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from smdown.errors import InputError
from smdown.sources.config import Range

Float32 = npt.NDArray[np.float32]

HUGE = 1e19
"""Magnitudes beyond this are fills, declared or not (1e20, 9.97e36, 3.4e38)."""
SUSPECTS = (
    *(-9999.0, -9999.9, -99999.0, -999.0, -999.9, -32768.0, -32767.0, -2147483648.0),
    *(9999.0, 99999.0, 999999.0, 32767.0, 65534.0, 65535.0, 2147483647.0, 4294967295.0, 1e10, 1e15, 1e18),
)
"""Numbers that stand for missing in files that do not say so."""


def clean(
    values: npt.NDArray[Any], *, fills: tuple[float, ...] = (), valid_range: Range | None = None
) -> npt.NDArray[Any]:
    """Return the values as floats, NaN where they are a fill, infinite, absurdly large or outside `valid_range`.

    Parameters
    ----------
    values : ndarray
        Any numbers.
    fills : tuple of float
        Values that stand for missing, as stored.
    valid_range : tuple of float, optional
        Physical limits, both allowed. They are widened by what rounding to float32 may cost.

    Returns
    -------
    ndarray
        float32, or float64 where the input was.
    """
    wide = values.dtype.itemsize > 4
    out: npt.NDArray[np.floating[Any]] = np.array(values, dtype=np.float64 if wide else np.float32)
    bad = ~(np.abs(out) < HUGE)
    for fill in fills:
        bad |= values == np.asarray(fill).astype(values.dtype)
    if valid_range is not None:
        low, high = (float(limit) for limit in valid_range)
        slack = 1e-6 * max(abs(low), abs(high))
        bad |= (out < low - slack) | (out > high + slack)
    out[bad] = np.nan
    return out


def numbers(column: pd.Series[Any], what: str) -> pd.Series[Any]:
    """Return a column of a table as numbers, NaN where it is empty.

    Raises
    ------
    InputError
        If it holds what is neither a number nor empty.
    """
    out = pd.to_numeric(column, errors="coerce")
    if (odd := out.isna() & column.notna()).any():
        raise InputError(f"got {what} holds {str(column[odd].iloc[0])[:40]!r}, which is no number; mend it")
    return out


class FillWatch:
    """Looks for a fill that nobody declared, in all values of one variable of one file.

    A suspect number counts as one where it lies farther from all other values than they from each other. Values may
    come in any parts and order.

    Parameters
    ----------
    scale, offset : float
        Turn stored numbers, which the suspects are, into the values that are shown.
    """

    def __init__(self, scale: float = 1.0, offset: float = 0.0) -> None:
        self._suspects = {float(np.float32(s * scale + offset)): s for s in SUSPECTS}
        self._low, self._high = np.inf, -np.inf
        self._seen: set[float] = set()

    def look(self, values: npt.NDArray[Any]) -> None:
        """Take in values; NaN does not count."""
        part = values[np.isfinite(values)]
        while part.size:
            ends = {float(np.float32(part.min())), float(np.float32(part.max()))}
            found = ends & self._suspects.keys()
            if not found:
                self._low, self._high = min(self._low, *ends), max(self._high, *ends)
                return
            self._seen |= found
            part = part[~np.isin(part.astype(np.float32), np.array(sorted(found), dtype=np.float32))]

    def verdict(self, remedy: str = "set nodata: {}, or valid_range") -> str | None:
        """Return what is wrong and how to mend it, in words; None where nothing is."""
        if self._low > self._high:
            return self._say(min(self._seen), "and nothing else", remedy) if len(self._seen) == 1 else None
        others = f"far from its other values ({self._low:.6g} to {self._high:.6g})"
        for value in sorted(self._seen):
            if max(self._low - value, value - self._high) > self._high - self._low:
                return self._say(value, others, remedy)
        return None

    def _say(self, value: float, how: str, remedy: str) -> str:
        advice = remedy.format(f"{self._suspects[value]:.8g}")
        return f"holds {value:.8g} {how}, which the file does not declare as missing; {advice}"


class RangeWatch:
    """Looks for values of which none is near the limits, as if they were in other units.

    Parameters
    ----------
    limits : tuple of float
        What values are kept.
    """

    def __init__(self, limits: Range) -> None:
        self._limits = limits
        self._low, self._high = np.inf, -np.inf

    def look(self, values: npt.NDArray[Any]) -> None:
        """Take in values that are not cut to the limits yet; NaN does not count."""
        part = values[np.isfinite(values)]
        if part.size:
            self._low, self._high = min(self._low, float(part.min())), max(self._high, float(part.max()))

    def verdict(self) -> str | None:
        """Return what is wrong, in words; None where nothing is, or all is one number (a fill that the limits cut)."""
        low, high = self._limits
        if self._low >= self._high or max(self._low - high, low - self._high) <= high - low:
            return None
        return (
            f"holds {self._low:.6g} to {self._high:.6g}, all far outside {low:g} to {high:g}, as if in other units; "
            "convert it, or correct valid_range"
        )


def check_range(values: npt.NDArray[Any], limits: Range, what: str) -> None:
    """Raise InputError where no value is near the limits, as if they were in other units."""
    watch = RangeWatch(limits)
    watch.look(values)
    if verdict := watch.verdict():
        raise InputError(f"got {what} {verdict}")


def check_units(got: str, wanted: str, what: str) -> None:
    """Raise InputError where a file states other units than the first that was read; none are any."""
    if got and wanted and got != wanted:
        raise InputError(f"got {what} is in {got!r}, where other files have {wanted!r}; convert it, or leave it out")


class Mean:
    """Running sum and count of arrays of one shape, NaN left out."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._sum = np.zeros(shape, dtype=np.float64)
        self._count = np.zeros(shape, dtype=np.int32)

    def add(self, values: npt.NDArray[Any]) -> None:
        """Take in one array."""
        valid = np.isfinite(values)
        self._sum[valid] += values[valid]
        self._count += valid

    def add_at(self, index: tuple[npt.NDArray[np.int64], ...], values: npt.NDArray[Any]) -> None:
        """Take in single values at their places; places may repeat."""
        valid = np.isfinite(values)
        place = tuple(i[valid] for i in index)
        np.add.at(self._sum, place, values[valid])
        np.add.at(self._count, place, 1)

    def mean(self) -> Float32:
        """Return the mean, NaN where nothing came."""
        return self._divide(self._sum)

    def total(self) -> Float32:
        """Return the sum, NaN where nothing came."""
        return np.where(self._count > 0, self._sum, np.nan).astype(np.float32)

    def _divide(self, total: npt.NDArray[np.float64]) -> Float32:
        out = np.full(total.shape, np.nan)
        np.divide(total, self._count, out=out, where=self._count > 0)
        return out.astype(np.float32)
