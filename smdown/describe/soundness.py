"""Verify cubes, in lines for people and for scripts."""

from __future__ import annotations

from collections.abc import Iterable

from smdown import cubes
from smdown.cubes.repair import repair as repair_cube
from smdown.runtime import Progress


def verify_cubes(urls: Iterable[str], progress: Progress, *, partial: bool = False, repair: bool = False) -> bool:
    """Verify cubes, print a line for each fault or each sound cube, and return whether all are sound."""
    sound = True
    for url in urls:
        with progress.stage("verify", 1) as bar:
            verdict = cubes.verify(url, partial=partial, tell=bar.update)
        for line in verdict.lines:
            print(line, flush=True)  # noqa: T201 - plain lines, for people and for scripts
        sound = sound and not verdict.faults
        if repair and (count := repair_cube(verdict)):
            print(f"{url}: withdrew {count} tiles; run the stage that made it once more")  # noqa: T201
    return sound
