"""Measuring one job: every method in turn, round after round; how far each is from the truth; what its tiles do."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.peers import gdal
from benchmarks.peers.jobs import F32, Job, make_field
from benchmarks.peers.methods import Method, smdown_unclamped, tiled, with_margin

VARIANTS = {"holes": True, "full": False}
"""With five per cent of pixels missing, and with none."""
Say = Callable[[str], None]
Truth = tuple[npt.NDArray[np.int64], F32]


class Contest:
    """All methods on the same fields of one job.

    Parameters
    ----------
    job : Job
        What is to be done.
    methods : sequence of Method
        Who takes part.
    patience_s : float
        A method whose first call takes longer than this is judged by that call alone.
    say : callable
        Told what is going on.
    """

    def __init__(self, job: Job, methods: Sequence[Method], patience_s: float, say: Say) -> None:
        self.job, self.methods, self.patience_s, self.say = job, methods, patience_s, say
        self.fields = {name: make_field(job.raster.shape, missing=missing) for name, missing in VARIANTS.items()}
        self.calls: dict[tuple[str, str], Callable[[], F32]] = {}
        self.times: dict[tuple[str, str], list[float]] = {}
        self.made: dict[tuple[str, str], F32] = {}

    def warm_up(self) -> None:
        """Prepare every method and call it once: compilers run, caches fill."""
        for method in self.methods:
            self.say(f"{self.job.name}: {method.name}")
            for variant in VARIANTS:
                if variant == "full" or method.knows_nan:
                    key = method.name, variant
                    self.calls[key] = method.prepare(self.job, self.fields[variant])
                    seconds, made = _clock(self.calls[key])
                    self.times[key], self.made[key] = [seconds], made.copy()

    def run(self, rounds: int) -> None:
        """Call the methods in turn, so that all of them meet the same moods of the machine."""
        slow = {key for key, (first, *_) in self.times.items() if first > self.patience_s}
        for number in range(rounds):
            self.say(f"{self.job.name}: round {number + 1} of {rounds}")
            for key, call in self.calls.items():
                if key not in slow:
                    self.times[key] = ([] if number == 0 else self.times[key]) + [_clock(call)[0]]

    def results(self, memcpy_gb_s: float) -> list[dict[str, Any]]:
        """Return a record for each method."""
        truth = gdal.oracle(self.job, self.fields["full"])
        return [self._result(method, truth, memcpy_gb_s) for method in self.methods]

    def _result(self, method: Method, truth: Truth, memcpy_gb_s: float) -> dict[str, Any]:
        self.say(f"{self.job.name}: {method.name}, differences and seams")
        job, field = self.job, self.fields["full"]
        span = float(np.ptp(field))
        seconds = {v: statistics.median(self.times[method.name, v]) for v in VARIANTS if (method.name, v) in self.times}
        main = next(iter(seconds))
        made = with_margin(method, job, field) if method.whole_px else self.made[method.name, "full"]
        valid = np.isfinite(self.made[method.name, main]).mean() if main == "holes" else None
        return {
            "job": job.name,
            "method": method.name,
            "threads": method.threads,
            "variant": "5 % missing" if main == "holes" else "none missing",
            "median_s": seconds[main],
            "rounds": len(self.times[method.name, main]),
            "mpx_s": job.megapixels * method.fields / seconds[main],
            "mpx_s_none_missing": job.megapixels * method.fields / seconds["full"],
            "memcpy_share": job.moved_gb * method.fields / seconds[main] / memcpy_gb_s,
            "valid_share": None if valid is None else float(valid),
            **difference(smdown_unclamped(job, field)() if method.ours else made, truth, span),
            **self._seams(method, made, span),
        }

    def _seams(self, method: Method, made: F32, span: float) -> dict[str, float | None]:
        """Return what making the target in tiles does to it."""
        whole = self.made.get((method.pieces_of, "full"))
        if whole is not None:
            return seams(made, whole, self.job.tile, span)
        if method.pieces_of or self.times[method.name, "full"][0] > self.patience_s:
            return {"seam_ratio": None, "tile_difference": None}
        return seams(tiled(method, self.job, self.fields["full"]), made, self.job.tile, span)


def _clock(call: Callable[[], F32]) -> tuple[float, F32]:
    start = time.perf_counter()
    made = call()
    return time.perf_counter() - start, made


def difference(made: F32, truth: Truth, span: float) -> dict[str, float]:
    """Return how far a result is from exact GDAL, in parts of the field's range."""
    rows, want = truth
    apart = np.abs(made[rows] - want) / span
    return {"difference_max": float(np.nanmax(apart)), "difference_p999": float(np.nanpercentile(apart, 99.9))}


def seams(parts: F32, whole: F32, tile: int, span: float) -> dict[str, float | None]:
    """Return how a result in tiles differs from the same in one piece.

    The seam ratio is the mean step across the tiles' edges over the mean step at the same places of the whole: at 1
    nobody can tell where the edges are.
    """
    return {
        "seam_ratio": edge_step(parts, tile) / edge_step(whole, tile),
        "tile_difference": float(np.nanmax(np.abs(parts - whole))) / span,
    }


def edge_step(field: npt.NDArray[np.floating], tile: int) -> float:
    """Return the mean absolute step across the edges of tiles."""
    down = np.abs(np.diff(field.astype(np.float64), axis=0))[tile - 1 :: tile]
    across = np.abs(np.diff(field.astype(np.float64), axis=1))[:, tile - 1 :: tile]
    return float(np.nanmean(np.concatenate([down.ravel(), across.ravel()])))
