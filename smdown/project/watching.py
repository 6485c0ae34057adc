"""A run as its commands start it: the place opened, and whoever watches told of it from beginning to end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from smdown.errors import IncompleteError
from smdown.runlog import versions
from smdown.runtime import Outcome, Profile, Progress, load_profile, open_client, open_progress
from smdown.runtime.capacity import capacity_at
from smdown.runtime.client import dashboard_link
from smdown.runtime.jsonlog import JsonLog, open_log

if TYPE_CHECKING:
    from distributed import Client

    from smdown.project.project import Project

NOTES_SHOWN = 40
"""Notes of a stage's tasks that are said."""


@contextmanager
def watched_client(
    project: Project,
    stages: Sequence[str],
    profile: Profile,
    command: str,
    *,
    log_json: str | None = None,
    quiet: bool = False,
    insecure: bool = False,
) -> Iterator[tuple[Client | None, Progress]]:
    """Open the place of a run, and what tells of it.

    Parameters
    ----------
    project : Project
        What is run.
    stages : sequence of str
        Which of its stages.
    profile : Profile
        Where; stages that need no cluster are done in this process.
    command : str
        How the user called it.
    log_json : str, optional
        Where events go as JSON lines.
    quiet : bool
        Whether this process says and logs nothing, as all but the first of those that train together.
    insecure : bool
        Speak to other machines without certificates.

    Yields
    ------
    client : distributed.Client or None
        The place.
    progress : Progress
        Hears of the run.
    """
    alone = tuple(stages) == ("train",) or project.finished(stages)
    place = load_profile("serial") if alone else profile
    progress = open_progress(quiet=quiet)
    with open_log(None if quiet else log_json) as log:
        if log is None:
            with open_client(place, insecure=insecure, profiling=project.performance_report) as client:
                _tell(place, client, progress, None)
                yield client, progress
            return
        progress.add(log)
        facts = {
            "name": project.config.name,
            "command": command,
            "workdir": project.workdir,
            "stages": list(stages),
            "place": place.cluster.model_dump(mode="json"),
            "versions": versions(),
        }
        with log.run(facts), open_client(place, insecure=insecure, profiling=project.performance_report) as client:
            _tell(place, client, progress, log)
            yield client, progress


def _tell(place: Profile, client: Any, progress: Progress, log: JsonLog | None) -> None:
    """Say what a cluster has, once it is there."""
    if client is None:
        return
    if (link := dashboard_link(place, client)) is not None:
        progress.say(f"dashboard: {link}")
    if log is not None:
        has = capacity_at(client)
        log.write("cluster_opened", workers=has.workers, threads=has.threads, thread_bytes=has.thread_bytes)


def say_notes(name: str, notes: Sequence[str], progress: Progress) -> None:
    """Say what the tasks of a stage want the user to hear, the first of many."""
    for note in notes[:NOTES_SHOWN]:
        progress.say(f"{name}: {note}")
    if len(notes) > NOTES_SHOWN:
        progress.say(f"{name}: and {len(notes) - NOTES_SHOWN} more notes")


def raise_if_failed(name: str, outcome: Outcome) -> None:
    """Raise IncompleteError, in one line, where tasks of a stage failed."""
    if outcome.failed:
        key, reason = next(iter(outcome.failed.items()))
        raise IncompleteError(
            f"stage {name}: {len(outcome.failed)} of {outcome.total} tasks failed (first {key}: {reason}); "
            "the others are kept; mend the cause and run the same command again"
        )
