"""A plan as plain values: one row a stage, what the place has, and what cannot work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from smdown.errors import ResourceError
from smdown.runtime.capacity import Capacity, memory_problem

GIB = 2**30


@dataclass(frozen=True, slots=True)
class StagePlan:
    """What one stage still has to do.

    Parameters
    ----------
    stage : str
        Name of the stage.
    new, done, failed : int
        Tasks that will be run, that an earlier run finished, and how many of the new ones failed the last time.
    pixels : int
        Values (of `ingest`), else pixels, that it will make.
    read_bytes, write_bytes : int, optional
        From and to storage, compressed; None where nobody can say.
    task_bytes : int
        Memory that one task may need; 0 where nothing is checked.
    seconds : float, optional
        Wall time at the place of the plan; None where it was not asked for.
    parts : mapping
        Seconds of one thread for reading, computing and writing, where they are known apart.
    basis : str
        What the time rests on: ``measured``, ``calibrated`` or ``reference``.
    peak_bytes : int
        Most memory that a process held in the run or calibration that the time rests on; 0 where unknown.
    assumed : bool
        Whether the volumes rest on guesses about files that are not there yet.
    """

    stage: str
    new: int
    done: int
    failed: int = 0
    pixels: int = 0
    read_bytes: int | None = None
    write_bytes: int | None = None
    task_bytes: int = 0
    seconds: float | None = None
    parts: Mapping[str, float] = field(default_factory=dict)
    basis: str = ""
    peak_bytes: int = 0
    assumed: bool = False

    @property
    def mpx_s(self) -> float | None:
        """Speed of the stage in million pixels a second."""
        return self.pixels / 1e6 / self.seconds if self.seconds and self.pixels else None


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What a run will do and need.

    Parameters
    ----------
    name, workdir : str
        The project.
    capacity : Capacity
        What the place has.
    stages : tuple of StagePlan
        In the order in which they run.
    disk_free : int, optional
        Bytes free at the working directory; None where nobody can say, as in a bucket.
    notes : tuple of str
        Things that the user should know about the figures.
    refusals : tuple of str
        Why a run would be refused for other reasons than memory and disk.
    elsewhere : bool
        Whether the place is not this machine: its disk is not the one that is seen from here, and refuses nothing.
    """

    name: str
    workdir: str
    capacity: Capacity
    stages: tuple[StagePlan, ...]
    disk_free: int | None = None
    notes: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()
    elsewhere: bool = False

    @property
    def task_bytes(self) -> int:
        """Memory that the largest task of the stages that will run may need."""
        return max((stage.task_bytes for stage in self.stages if stage.new), default=0)

    @property
    def disk_needed(self) -> int:
        """Bytes that the stages will add to the working directory, guesses included."""
        return sum(stage.write_bytes or 0 for stage in self.stages)

    @property
    def seconds(self) -> float | None:
        """Wall time of all stages."""
        known = [stage.seconds for stage in self.stages]
        return None if any(s is None for s in known) else sum(s or 0.0 for s in known)

    @property
    def problems(self) -> tuple[str, ...]:
        """Why the run cannot work, each with its numbers and the ways out."""
        found = [
            memory_problem(stage.stage, stage.task_bytes, self.capacity)
            for stage in self.stages
            if stage.new and stage.task_bytes
        ]
        return (*self.refusals, *filter(None, (*found, self._disk_problem())))

    def _disk_problem(self) -> str | None:
        """Say that the disk is too small, by what is known for sure: guesses refuse nothing."""
        needed = sum(stage.write_bytes or 0 for stage in self.stages if not stage.assumed)
        if self.elsewhere or self.disk_free is None or needed <= self.disk_free:
            return None
        largest = max((s for s in self.stages if not s.assumed), key=lambda s: s.write_bytes or 0)
        most = (largest.write_bytes or 0) / GIB
        return (
            f"the run needs about {needed / GIB:.1f} GiB of disk at {self.workdir} ({most:.1f} of it for "
            f"{largest.stage}), {self.disk_free / GIB:.1f} GiB are free; free some, name another --workdir (a larger "
            "disk or a bucket), map fewer days (prediction.every), or keep less (features.materialise, "
            "prediction.members)"
        )

    def check(self) -> None:
        """Raise ResourceError in one line where the run cannot work."""
        if self.problems:
            raise ResourceError("; also, ".join(self.problems))

    def as_json(self) -> dict[str, Any]:
        """Return the plan as plain JSON."""
        stages = [asdict(s) | {"mpx_s": s.mpx_s} for s in self.stages]
        return {
            "name": self.name,
            "workdir": self.workdir,
            "place": asdict(self.capacity) | {"slots": self.capacity.slots},
            "stages": stages,
            "disk_needed_bytes": self.disk_needed,
            "disk_free_bytes": self.disk_free,
            "seconds": self.seconds,
            "problems": list(self.problems),
            "notes": list(self.notes),
        }
