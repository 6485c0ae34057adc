"""Source pixels, as windows ask for them: small sources and the last blocks read are kept, within a fixed size."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock

import numpy as np
import numpy.typing as npt

from smdown.cubes import Cube
from smdown.errors import CubeError
from smdown.grid import Window

F32 = npt.NDArray[np.float32]
KEPT_BYTES = 64 * 2**20
"""What a process keeps of all its sources together; it does not grow with their extent."""
WHOLE_PX = 2**21
"""A variable of at most this many pixels is read whole, for all windows to come."""
WHOLE_TIME_PX = 2**18
"""The same for one time of a variable that has many."""


class Kept:
    """Arrays by key, the least recently used let go when they outgrow a fixed size.

    Parameters
    ----------
    limit : int
        Bytes kept at most. Arrays of more than a quarter of it are not kept at all.
    """

    def __init__(self, limit: int = KEPT_BYTES) -> None:
        self.limit = limit
        self.size = 0
        self._arrays: OrderedDict[Hashable, F32] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable, make: Callable[[], F32]) -> F32:
        """Return the array of a key, made anew where it is not kept. It is shared: never write into it."""
        with self._lock:
            found = self._arrays.get(key)
            if found is not None:
                self._arrays.move_to_end(key)
                return found
        made = make()
        if 4 * made.nbytes <= self.limit:
            self._keep(key, made)
        return made

    def _keep(self, key: Hashable, made: F32) -> None:
        with self._lock:
            old = self._arrays.pop(key, None)
            self.size += made.nbytes - (0 if old is None else old.nbytes)
            self._arrays[key] = made
            while self.size > self.limit:
                self.size -= self._arrays.popitem(last=False)[1].nbytes


class Pixels:
    """Windows of one source cube.

    Parameters
    ----------
    cube : Cube
        The source.
    kept : Kept
        Where pixels are kept; shared by all sources of a process.
    """

    def __init__(self, cube: Cube, kept: Kept) -> None:
        self.cube = cube
        self.kept = kept

    def read(self, name: str, window: Window, time: int | None) -> F32:
        """Return float32 pixels; NaN where they are missing, outside the source or its variable's valid range.

        Never write into them: they are shared.

        Parameters
        ----------
        name : str
            Variable.
        window : Window
            Rows and columns, counted from the source's first pixel; may reach outside.
        time : int, optional
            Position on the time axis; None for a variable without one.
        """
        self.check(name, timed=time is not None)
        raster = self.cube.raster
        if raster.height * raster.width > (WHOLE_PX if time is None else WHOLE_TIME_PX):
            return self.kept.get((self.cube.url, name, time, window), lambda: self._fetch(name, window, time))
        whole = self.kept.get((self.cube.url, name, time), lambda: self._fetch(name, raster.window, time))
        inside = window.intersect(raster.window)
        if inside == window:
            return whole[window.slices]
        out = np.full(window.shape, np.nan, np.float32)
        if inside is not None:
            out[inside.relative_to(window).slices] = whole[inside.slices]
        return out

    def _fetch(self, name: str, window: Window, time: int | None) -> F32:
        out = np.full(window.shape, np.nan, np.float32)  # classes have no NaN of their own: outside is set here
        inside = window.intersect(self.cube.raster.window)
        if inside is not None:
            out[inside.relative_to(window).slices] = self.cube.read(name, inside, time)
        low, high = self.cube.variables[name].valid_range or (-np.inf, np.inf)
        with np.errstate(invalid="ignore"):
            out[~((out >= low) & (out <= high) & np.isfinite(out))] = np.nan  # a kernel would spread what is no value
        return out

    def check(self, name: str, *, timed: bool) -> None:
        """Raise CubeError unless the source has such a variable, and it has a time axis or none as wanted."""
        if name not in self.cube.variables:
            raise CubeError(f"{self.cube.url} has no variable {name!r}; it has {', '.join(self.cube.variables)}")
        has_times = self.cube.variables[name].timed
        if has_times and not timed:
            raise CubeError(
                f"got {name!r} of {self.cube.url} as a driver that no day changes, but it has a time axis; "
                "use a driver of kind daily, antecedent or normalized_difference"
            )
        if timed and not has_times:
            raise CubeError(
                f"got {name!r} of {self.cube.url} as a driver of a day, but it has no time axis; use kind source"
            )
