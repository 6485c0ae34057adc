"""The measurements: every stage on some of the workers and on all of them, and what its time went into."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smdown.bench.jobs import STAGES, plan_of
from smdown.bench.meter import Meter
from smdown.errors import ResourceError
from smdown.runtime import Outcome, Progress, execute
from smdown.runtime.capacity import slots_of

if TYPE_CHECKING:
    from distributed import Client

    from smdown.project import Project

LIMITS = ("compute", "read", "write", "scheduler")
_LONGEST = 4
"""How many times longer than asked for a measurement may take on few workers."""


@dataclass(frozen=True)
class Row:
    """One measurement, the median of some.

    Parameters
    ----------
    stage : str
        Which.
    scaling : str
        ``strong``, the same tasks for any number of workers, or ``weak``, as many for each.
    workers, tasks : int
        How many.
    seconds : float
        Wall time.
    mpx : float
        Million pixels.
    shares : dict
        Of the workers' time, by what it went into: `LIMITS`.
    read_mb, written_mb : float
        Arrays that came from cubes and went to them, decompressed, MB.
    """

    stage: str
    scaling: str
    workers: int
    tasks: int
    seconds: float
    mpx: float
    shares: dict[str, float]
    read_mb: float = 0.0
    written_mb: float = 0.0

    @property
    def rate(self) -> float:
        """Mpx/s; tasks a second where there are no pixels."""
        return (self.mpx or self.tasks) / self.seconds

    @property
    def bound(self) -> str:
        """What took most of the workers' time."""
        return max(self.shares, key=lambda name: self.shares[name])


class Bench:
    """A region, and a place to measure with it.

    Parameters
    ----------
    project : Project
        The region.
    client : distributed.Client, optional
        The place; None is this process.
    folder : Path
        Where results go for as long as they are needed; workers must see it.
    progress : Progress
        Who hears of tasks.
    said : Progress, optional
        Who hears of stages.
    seconds : float
        What a measurement on one worker is to take, about.
    rounds : int
        How often each is repeated; the median counts.
    """

    def __init__(
        self,
        project: Project,
        client: Client | None,
        folder: Path,
        progress: Progress,
        *,
        seconds: float = 8.0,
        rounds: int = 1,
        said: Progress | None = None,
    ) -> None:
        self.said = said or progress
        self.project, self.client, self.progress = project, client, progress
        self.folder, self.seconds, self.rounds = folder, seconds, rounds
        self.slots = slots_of(client) if client is not None else {"": 1}
        if not self.slots:
            raise ResourceError("got a cluster without any worker; start some, or wait for them")

    def counts(self) -> list[int]:
        """Return the numbers of workers to measure with: powers of two, and all."""
        most = len(self.slots)
        return sorted({2**n for n in range(most.bit_length()) if 2**n < most} | {most})

    def run(self, stages: Sequence[str] = STAGES) -> list[Row]:
        """Measure stages on every number of workers."""
        rows: list[Row] = []
        with self.said.stage("bench", len(stages)) as bar:
            for n, stage in enumerate(stages):
                bar.update(n, len(stages), stage)
                rows += self._stage(stage)
            bar.update(len(stages), len(stages))
        return rows

    def _stage(self, stage: str) -> Iterator[Row]:
        """Measure a stage: rounds in which all numbers of workers take turns; of each the median."""
        counts, everyone = self.counts(), list(self.slots)
        # Beforehand libraries are loaded and loops compiled.
        self._once(stage, everyone, len(everyone) * (20 if stage == "nothing" else 1))
        probe, seconds = self._once(stage, everyone[:1], 100 if stage == "nothing" else 1)
        each = max(1, round(self.seconds * len(probe.receipts) / max(1e-6, seconds)))
        whole = max(each, 2 * counts[-1])
        wanted = {("weak", count): each * count for count in counts}
        wanted |= {("strong", count): whole for count in counts if whole / count <= _LONGEST * each}
        found: dict[tuple[str, int], list[Row]] = {key: [] for key in wanted}
        for _ in range(self.rounds):
            for (scaling, count), tasks in wanted.items():
                found[scaling, count].append(self._row(stage, scaling, everyone[:count], tasks))
        for rows in found.values():
            yield sorted(rows, key=lambda row: row.seconds)[len(rows) // 2]

    def _row(self, stage: str, scaling: str, workers: list[str], tasks: int) -> Row:
        outcome, seconds = self._once(stage, workers, tasks)
        meter = Meter()
        for note in outcome.notes:
            meter.add(note)
        slots = sum(self.slots[name] for name in workers)
        busy, whole = sum(r.seconds for r in outcome.receipts), seconds * slots
        parts = {
            "read": meter.read_s,
            "write": meter.write_s,
            "compute": busy - meter.read_s - meter.write_s,
            "scheduler": whole - busy,
        }
        spent = {name: max(0.0, parts[name]) for name in LIMITS}  # several threads may read for one task
        shares = {name: round(part / sum(spent.values()), 4) for name, part in spent.items()}
        megabytes = meter.read_bytes / 1e6, meter.written_bytes / 1e6
        return Row(stage, scaling, len(workers), tasks, seconds, outcome.pixels / 1e6, shares, *megabytes)

    def _once(self, stage: str, workers: list[str], tasks: int) -> tuple[Outcome, float]:
        """Run so many tasks on some workers; return the outcome and its wall time."""
        with self._emptied() as folder:
            plan = plan_of(stage, self.project, str(folder), tasks)
            outcome = execute(plan, self.client, self.progress, workers=workers if self.client is not None else None)
        if outcome.failed:
            raise ResourceError(f"stage {stage} could not be measured: {next(iter(outcome.failed.values()))}")
        if outcome.workers_lost or (self.client is not None and not self.slots.keys() <= slots_of(self.client).keys()):
            raise ResourceError(f"stage {stage} could not be measured: a worker was lost meanwhile; run it again")
        return outcome, outcome.seconds

    @contextmanager
    def _emptied(self) -> Iterator[Path]:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        try:
            yield self.folder
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def submission(self, count: int = 500) -> dict[str, Any]:
        """Measure what handing tasks over takes, apart from their execution."""
        if self.client is None:
            return {}
        start = time.perf_counter()
        futures = self.client.map(_nothing, range(count), pure=False)
        handed = time.perf_counter() - start
        self.client.gather(futures)
        return {"tasks": count, "submitted_s": round(handed, 4), "done_s": round(time.perf_counter() - start, 4)}


def _nothing(number: int) -> int:
    return number
