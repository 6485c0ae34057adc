"""Charts as inline SVG: they take the page's own ink, so they read on light, on dark and on paper."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from markupsafe import escape
from matplotlib import dates, ticker
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

_INK, _FAINT = "#123450", "#654320"  # stand-ins, replaced by the page's variables
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Okabe and Ito's colours, which the colour-blind tell apart."""


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0)
    axes.spines[["top", "right"]].set_visible(False)
    for spine in axes.spines.values():
        spine.set_color(_FAINT)
    axes.tick_params(colors=_INK, labelsize=8, color=_FAINT)
    axes.xaxis.label.set_color(_INK)
    axes.yaxis.label.set_color(_INK)
    axes.xaxis.label.set_fontsize(8.5)
    axes.yaxis.label.set_fontsize(8.5)
    return figure, axes


def _svg(figure: Figure, name: str, label: str) -> str:
    """Return the figure as SVG text with its own identifiers and an accessible name."""
    for axes in figure.axes:
        for title in (axes.xaxis.label, axes.yaxis.label):
            title.set_parse_math(False)  # units may hold a dollar sign
    buffer = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name, "font.family": "sans-serif"}):
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = text.replace(_INK, "var(--ink)").replace(_FAINT, "var(--faint)")
    text = re.sub(r'(<svg [^>]*?)width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg [^>]*?)height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r"font: ([^;\"]*?)'[^;\"]*", r"font: \1sans-serif", text)
    return text.replace("<svg", f'<svg role="img" aria-label="{escape(label)}" class="chart"', 1)


def _legend(axes: Axes, **options: Any) -> None:
    legend = axes.legend(frameon=False, fontsize=8, labelcolor=_INK, handlelength=1.6, **options)
    legend.set_in_layout(True)


def density(name: str, counts: npt.NDArray[np.float64], limits: tuple[float, float], labels: tuple[str, str]) -> str:
    """Draw a joint histogram ``(reference bin, estimate bin)`` with the line of equality."""
    low, high = limits
    step = (high - low) / counts.shape[0]
    filled = np.flatnonzero(counts.sum(axis=0) + counts.sum(axis=1) >= max(1.0, counts.sum() * 1e-5))
    first, last = (int(filled[0]), int(filled[-1]) + 1) if filled.size else (0, counts.shape[0])
    part = counts[first:last, first:last]
    start, stop = low + first * step, low + last * step
    figure, axes = _figure(3.9, 3.5)
    image = axes.imshow(
        np.where(part > 0, np.log10(np.maximum(part, 1)), np.nan).T,
        origin="lower", extent=(start, stop, start, stop), cmap="viridis", interpolation="nearest",
    )  # fmt: skip
    bar = figure.colorbar(image, ax=axes, shrink=0.75, pad=0.02)
    bar.set_label("pixels (log10)", color=_INK, fontsize=8)
    bar.ax.tick_params(colors=_INK, labelsize=8, color=_FAINT)
    bar.outline.set_visible(False)
    axes.plot([start, stop], [start, stop], color=_INK, lw=0.9, ls="--")
    axes.set(xlabel=labels[0], ylabel=labels[1], xlim=(start, stop), ylim=(start, stop))
    return _svg(figure, name, f"Density of {labels[1]} against {labels[0]}")


def points(name: str, groups: Mapping[str, tuple[Sequence[float], Sequence[float]]], labels: tuple[str, str]) -> str:
    """Draw pairs of values, one colour a group, with the line of equality."""
    figure, axes = _figure(3.9, 3.5)
    for colour, (label, (x, y)) in zip(COLOURS[1::-1], groups.items(), strict=False):
        axes.scatter(x, y, s=9, color=colour, alpha=0.65, lw=0, label=label)
    values = np.concatenate([np.asarray(v, dtype=float) for pair in groups.values() for v in pair])
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    pad = (high - low) * 0.04 or 0.01
    axes.plot([low - pad, high + pad], [low - pad, high + pad], color=_INK, lw=0.9, ls="--")
    axes.set(xlabel=labels[0], ylabel=labels[1], xlim=(low - pad, high + pad), ylim=(low - pad, high + pad))
    axes.set_aspect("equal")
    _legend(axes, loc="upper left")
    return _svg(figure, name, f"{labels[1]} against {labels[0]}")


def series(
    name: str,
    observed: tuple[npt.NDArray[np.datetime64], npt.NDArray[np.float64]],
    coarse: tuple[npt.NDArray[np.datetime64], npt.NDArray[np.float64]] | None,
    mapped: tuple[npt.NDArray[np.datetime64], npt.NDArray[np.float64], npt.NDArray[np.float64]],
    label: str,
) -> str:
    """Draw what a station saw, the coarse product there, and the mosaic's days with their 90 % interval."""
    figure, axes = _figure(5.2, 2.5)
    if coarse is not None:
        axes.plot(*coarse, color=COLOURS[4], lw=1.3, label="coarse product")
    axes.plot(*observed, color=_INK, lw=1.2, label="station")
    times, values, std = mapped
    axes.errorbar(
        times, values, 1.645 * np.nan_to_num(std), fmt="o", ms=4.5, color=COLOURS[0], lw=1.1, capsize=2,
        label="downscaled, 90 % interval",
    )  # fmt: skip
    axes.set_ylabel(label)
    axes.grid(axis="y", color=_FAINT, lw=0.4, alpha=0.5)
    locator = dates.AutoDateLocator(minticks=3, maxticks=6)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))
    axes.xaxis.get_offset_text().set_color(_INK)
    axes.xaxis.get_offset_text().set_fontsize(8)
    _legend(axes, ncols=3, loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0.1, columnspacing=1.1)
    return _svg(figure, name, "Time series at a station")


def curves(name: str, lines: Mapping[str, Sequence[float]], label: str) -> str:
    """Draw learning curves over epochs."""
    figure, axes = _figure(3.6, 2.3)
    for colour, (line, values) in zip(COLOURS, lines.items(), strict=False):
        axes.plot(
            range(1, len(values) + 1), values, color=colour, lw=1.5, label=line, marker="." if len(values) < 3 else ""
        )
    axes.set(xlabel="epoch", ylabel=label)
    axes.xaxis.set_major_locator(ticker.MaxNLocator(5, integer=True))
    axes.grid(axis="y", color=_FAINT, lw=0.4, alpha=0.5)
    _legend(axes, loc="best")
    return _svg(figure, name, "Learning curves")


def by_wavelength(
    name: str,
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    label: str,
    *,
    cell: float,
    log: bool = False,
    half: bool = False,
) -> str:
    """Draw curves over wavelengths in metres, long ones on the left, with the side of a coarse cell."""
    figure, axes = _figure(4.6, 2.9)
    for colour, (line, (x, y)) in zip((_INK, *COLOURS), lines.items(), strict=False):
        axes.plot(x, y, color=colour, lw=1.6, label=line)
    axes.set_xscale("log")
    if log:
        axes.set_yscale("log")
    else:
        axes.set_ylim(0, 1.3)
    if half:
        axes.axhline(0.5, color=_INK, lw=0.8, ls="--")
    axes.axvline(cell, color=_FAINT, lw=1.2, ls=":")
    axes.invert_xaxis()
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda v, _: f"{v / 1000:g} km" if v >= 1000 else f"{v:g} m"))
    axes.set(xlabel="wavelength", ylabel=label)
    axes.grid(color=_FAINT, lw=0.4, alpha=0.5)
    _legend(axes, ncols=2, loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0.1, columnspacing=1.1)
    return _svg(figure, name, f"{label} by wavelength")


def histogram(name: str, edges: Sequence[float], heights: Sequence[float], label: str) -> str:
    """Draw bars whose even height is one."""
    figure, axes = _figure(3.9, 2.5)
    axes.bar(edges[:-1], heights, width=np.diff(edges), align="edge", color=COLOURS[0], edgecolor="none", alpha=0.85)
    axes.axhline(1, color=_INK, lw=0.9, ls="--")
    axes.set(xlabel=label, ylabel="share of an even one", xlim=(edges[0], edges[-1]))
    return _svg(figure, name, f"Histogram: {label}")


def spread_skill(
    name: str, spread: Sequence[float], error: Sequence[float], counts: Sequence[float], labels: tuple[str, str]
) -> str:
    """Draw errors made against those stated, with the line of equality."""
    figure, axes = _figure(3.9, 2.9)
    most = max(counts)
    axes.plot(spread, error, color=COLOURS[0], lw=1.2)
    axes.scatter(spread, error, s=[10 + 60 * c / most for c in counts], color=COLOURS[0], lw=0)
    high = max(*spread, *error) * 1.08
    axes.plot([0, high], [0, high], color=_INK, lw=0.9, ls="--")
    axes.set(xlabel=labels[0], ylabel=labels[1], xlim=(0, high), ylim=(0, high))
    return _svg(figure, name, f"{labels[1]} against {labels[0]}")


def by_dissimilarity(
    name: str, lines: Mapping[str, tuple[Sequence[float], Sequence[float]]], threshold: float, label: str
) -> str:
    """Draw errors over the dissimilarity index, with the threshold of the area of applicability."""
    figure, axes = _figure(3.9, 2.5)
    for colour, (line, (x, y)) in zip(COLOURS, lines.items(), strict=False):
        axes.plot(x, y, color=colour, lw=1.5, marker=".", label=line)
    axes.axvline(threshold, color=_INK, lw=1.0, ls=":")
    axes.set(xlabel="dissimilarity index", ylabel=label)
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", color=_FAINT, lw=0.4, alpha=0.5)
    _legend(axes, ncols=2, loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0.1)
    return _svg(figure, name, f"{label} by dissimilarity index")


def effects(name: str, lines: Mapping[str, tuple[Sequence[float], Sequence[float]]], driver: str, label: str) -> str:
    """Draw the effect of a driver at several resolutions."""
    figure, axes = _figure(3.4, 2.4)
    for colour, (line, (x, y)) in zip(COLOURS, lines.items(), strict=False):
        axes.plot(x, y, color=colour, lw=1.5, label=line)
    axes.axhline(0, color=_FAINT, lw=0.8)
    axes.set(xlabel=driver, ylabel=label)
    axes.grid(axis="y", color=_FAINT, lw=0.4, alpha=0.5)
    _legend(axes, ncols=2, loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0.1, columnspacing=1.1)
    return _svg(figure, name, f"Effect of {driver}")
