"""The picture of a simulated continent: tiles done, processor time and memory of the client."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.scale.watch import Watch


def draw(path: Path, rows: list[dict[str, Any]], watch: Watch) -> None:
    """Write three panels over time: tiles beside the ideal, processor time of client and scheduler, their memory."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    run = next(row for row in rows if row["job"] == "simulation")
    when, memory, cpu = np.array(watch.samples).T
    figure, axes = plt.subplots(3, 1, figsize=(7, 8), sharex=True, layout="constrained")
    tiles = np.arange(1, len(watch.times) + 1)
    axes[0].plot(watch.times, tiles, label="tiles done")
    axes[0].plot([0, run["ideal_s"]], [0, run["tiles"]], "k:", label=f"ideal, {run['ideal_s']:.0f} s")
    axes[0].set(ylabel="tiles", title=f"{run['tiles']} tiles of {run['tile_s']:.2f} s on {run['method']}")
    axes[0].legend(frameon=False)
    rate = 100 * np.diff(cpu) / np.maximum(np.diff(when), 1e-9)
    axes[1].plot((when[1:] + when[:-1]) / 2, rate, color="C1", label="client and scheduler")
    axes[1].axhline(100 * run["idle_cpu_of_core"], color="k", ls=":", label="while nothing is to do")
    axes[1].set(ylabel="processor time, % of a core", ylim=(0, None))
    axes[1].legend(frameon=False)
    axes[2].plot(when, memory, color="C2", label="held now")
    axes[2].axhline(run["client_peak_mb"], color="C2", ls="--", label=f"most, {run['client_peak_mb']:.0f} MB")
    axes[2].axhline(500, color="k", ls=":", label="promised")
    axes[2].set(xlabel="seconds", ylabel="memory of the client, MB", ylim=(0, 550))
    axes[2].legend(frameon=False)
    figure.savefig(path, dpi=120)
    plt.close(figure)
