"""A whole benchmark of a place: its region, its measurements, its record."""

from __future__ import annotations

import os
import platform
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.table import Table

from smdown.bench.jobs import STAGES
from smdown.bench.measure import Bench
from smdown.bench.region import Size, make_project
from smdown.bench.report import bench_plot, bench_table, write_record
from smdown.errors import ConfigError, ResourceError
from smdown.runlog import versions
from smdown.runtime import Profile, Progress, open_client, open_progress
from smdown.runtime.capacity import capacity_at
from smdown.runtime.clusters import Adaptive

_PATIENCE_S = 1800
"""Seconds that a place is given to start its workers."""


def run_bench(
    profile: Profile,
    folder: Path,
    progress: Progress,
    *,
    cells: tuple[int, int] = (4, 8),
    seconds: float = 8.0,
    rounds: int = 1,
    stages: Sequence[str] | None = None,
    insecure: bool = False,
) -> tuple[Table, list[Path]]:
    """Measure a place, and write ``bench.json`` and ``bench.png``.

    Parameters
    ----------
    profile : Profile
        The place.
    folder : Path
        Keeps the region, which is made once, and the results.
    progress : Progress
        Who hears of it.
    cells : (int, int)
        Coarse cells of the region, rows and columns.
    seconds : float
        Of a measurement on one worker, about.
    rounds : int
        How often each is repeated; the median counts.
    stages : sequence of str, optional
        Some of `smdown.bench.jobs.STAGES`; all by default.
    insecure : bool
        Speak to other machines without certificates.

    Returns
    -------
    table : rich.table.Table
        What was measured, for people.
    files : list of Path
        What was written.

    Raises
    ------
    ConfigError
        If there is no such stage, or the folder cannot be written.
    ResourceError
        If the place cannot be reached, or a stage cannot be done there.
    """
    chosen = tuple(stages or STAGES)
    if unknown := [name for name in chosen if name not in STAGES]:
        raise ConfigError(f"got --stage {unknown[0]}; legal ones are {', '.join(STAGES)}")
    folder = folder.absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(prefix="measured-", dir=folder)  # never what somebody keeps there
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(f"got --workdir {folder}, which cannot be written ({reason}); name another folder") from error
    start, profile = time.perf_counter(), _all_of(profile)
    with scratch as room, open_client(profile, insecure=insecure) as client:
        _wait(client, profile)
        project = make_project(folder / f"region-{cells[0]}x{cells[1]}", Size(cells), client, progress)
        made = time.perf_counter() - start
        bench = Bench(
            project, client, Path(room) / "results", open_progress(quiet=True), seconds=seconds, rounds=rounds,
            said=progress,
        )  # fmt: skip
        rows, handed = bench.run(chosen), bench.submission()
        has = capacity_at(client)
    facts = {
        "date": datetime.now(UTC).date().isoformat(),
        "place": {"kind": profile.cluster.kind, "workers": has.workers, "threads": has.threads},
        "client": {"cores": os.cpu_count(), "system": platform.system(), "machine": platform.machine()},
        "region": {"cells": list(cells), "pixels": project.config.grid.window.size},
        "versions": versions(),
        "seconds": {"region": round(made, 1), "all": round(time.perf_counter() - start, 1)},
        "submission": handed,
    }
    files = [folder / "bench.json", folder / "bench.png"]
    write_record(files[0], facts, rows)
    bench_plot(files[1], rows)
    return bench_table(rows, facts), files


def _all_of(profile: Profile) -> Profile:
    """Return the place with all of its workers from the beginning: none that comes and goes with the work."""
    workers = getattr(profile.cluster, "workers", None)
    if not isinstance(workers, Adaptive):
        return profile
    return profile.model_copy(update={"cluster": profile.cluster.model_copy(update={"workers": workers.maximum})})


def _wait(client: Any, profile: Profile) -> None:
    """Wait for the workers of places that take their time, half an hour at most."""
    if client is None:
        return
    wanted = getattr(profile.cluster, "most_workers", 1)
    try:
        client.wait_for_workers(wanted, timeout=_PATIENCE_S)
    except TimeoutError as error:
        raise ResourceError(
            f"got {capacity_at(client).workers} of {wanted} workers within {_PATIENCE_S} s; ask for fewer in the "
            "profile, or wait until the place is less busy"
        ) from error
