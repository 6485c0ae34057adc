"""The results as one picture: for each job the speeds, and the differences from exact GDAL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from benchmarks.peers.claims import OURS, Results

BLUE, GREY, ORANGE = "#0072b2", "#a6a6a6", "#d55e00"
"""Colours that the colour-blind tell apart (Okabe and Ito)."""
LEAST = 1e-8
"""Where differences of nothing, or nearly, are drawn."""
LEFT_OUT = {f"{OURS}, 1 worker", "GDAL, 2 threads", "GDAL exact, 2 threads", "torch interpolate, 2 threads"}
"""Methods that are in the record but not in the picture: it compares single threads."""
NOTE = """Speed: Mpx/s of the larger side.
Bar and figure: 5 % of pixels missing;
black tick: none missing.

Difference: the largest from exact GDAL,
in parts of the field's range.
Dashed: what we promise.

PyTorch and OpenCV know no missing values."""


def draw(path: Path, results: Results, promise: float) -> None:
    """Draw all jobs, two side by side.

    Parameters
    ----------
    path : Path
        PNG file to write.
    results : list of dict
        Of the run.
    promise : float
        Promised difference from exact GDAL, drawn as a line.
    """
    shown = [r for r in results if r["method"] not in LEFT_OUT]
    by_job = [[r for r in shown if r["job"] == job][::-1] for job in dict.fromkeys(r["job"] for r in shown)]
    lines = -(-(len(by_job) + 1) // 2)
    figure, axes = plt.subplots(
        lines, 4, figsize=(14, 2.75 * lines), width_ratios=(3, 2, 3, 2), squeeze=False, layout="constrained"
    )
    pairs = list(zip(axes[:, ::2].flat, axes[:, 1::2].flat, strict=True))
    for (left, right), rows in zip(pairs, by_job, strict=False):
        _speeds(left, rows)
        _differences(right, rows, promise)
    for left, right in pairs[len(by_job) :]:
        left.set_axis_off()
        right.set_axis_off()
    pairs[len(by_job)][0].text(0.0, 0.95, NOTE, va="top", fontsize=10, linespacing=1.5)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _speeds(axes: Axes, rows: list[dict[str, Any]]) -> None:
    places = range(len(rows))
    with_holes = [r["mpx_s"] if r["variant"] == "5 % missing" else 0.0 for r in rows]
    axes.barh(places, with_holes, color=_colours(rows), height=0.72)
    axes.plot([r["mpx_s_none_missing"] for r in rows], places, "|", color="black", markersize=7)
    axes.set_yticks(places, [r["method"] for r in rows])
    for place, row in zip(places, rows, strict=True):
        furthest = max(row["mpx_s"], row["mpx_s_none_missing"])
        axes.annotate(
            _short(row["mpx_s"]), (furthest, place), (5, 0), textcoords="offset points", va="center", fontsize=7.5
        )
    axes.set_xlim(0.1, 10_000)
    axes.set_title(rows[0]["job"], loc="left", fontsize=10, fontweight="bold")
    _dress(axes, len(rows))
    for label, row in zip(axes.get_yticklabels(), rows, strict=True):
        label.set_fontweight("bold" if _own(row) else "normal")


def _differences(axes: Axes, rows: list[dict[str, Any]], promise: float) -> None:
    places = range(len(rows))
    values = [max(LEAST, r["difference_max"]) for r in rows]
    axes.hlines(places, LEAST, values, color=_colours(rows), linewidth=1.5)
    axes.scatter(values, places, color=_colours(rows), s=18, zorder=3, clip_on=False)
    axes.axvline(promise, color=ORANGE, linestyle="--", linewidth=1)
    axes.set_yticks(places, [""] * len(rows))
    axes.set_xlim(LEAST, 1)
    _dress(axes, len(rows))


def _colours(rows: list[dict[str, Any]]) -> list[str]:
    return [BLUE if _own(row) else GREY for row in rows]


def _own(row: dict[str, Any]) -> bool:
    return bool(row["method"].startswith(OURS))


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def _dress(axes: Axes, count: int) -> None:
    axes.set_xscale("log")
    axes.set_ylim(-0.7, count - 0.3)
    axes.grid(axis="x", linewidth=0.4, alpha=0.5)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.minorticks_off()
    axes.tick_params(labelsize=8)
