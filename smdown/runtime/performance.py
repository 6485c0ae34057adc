"""Dask's own page on what workers and scheduler did in a stage."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from smdown.cubes import put
from smdown.errors import ConfigError
from smdown.runtime.attempt import one_line
from smdown.runtime.clusters import SerialCluster
from smdown.runtime.profile import Profile
from smdown.runtime.progress import Progress

if TYPE_CHECKING:
    from distributed import Client


def check_performance_report(profile: Profile) -> None:
    """Refuse a performance report where there is nothing to report on, or nothing to draw it with.

    Raises
    ------
    ConfigError
        Saying what to do.
    """
    if isinstance(profile.cluster, SerialCluster):
        raise ConfigError("got --performance-report with the profile serial, which has no workers; name another place")
    if importlib.util.find_spec("bokeh") is None:
        raise ConfigError("got --performance-report, but bokeh is not installed; install smdown[dashboard]")


@contextmanager
def performance_report(client: Client | None, url: str | None, progress: Progress) -> Iterator[None]:
    """Keep Dask's page on what is done meanwhile; work that is broken off leaves none.

    Parameters
    ----------
    client : distributed.Client, optional
        Of the cluster; without one nothing is kept.
    url : str, optional
        Where the page goes, a file of any file system; without one nothing is kept.
    progress : Progress
        Told in a line where the page is, or why it could not be made: the work is done all the same.
    """
    if client is None or url is None:
        yield
        return
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        try:
            end = _begin(client, page)
        except Exception as error:  # noqa: BLE001 - a page is no reason to end the work
            progress.say(f"no performance report ({one_line(error)})")
            yield
            return
        yield
        try:
            end()
            put(url, page.read_bytes())
        except Exception as error:  # noqa: BLE001 - the scheduler may lack bokeh, or have gone
            progress.say(f"no performance report ({one_line(error)})")
        else:
            progress.say(f"performance report: {url}")


def _begin(client: Client, page: Path) -> Callable[[], None]:
    """Let the scheduler note what comes, and return what writes it to a page."""
    from distributed import performance_report as dask_report

    report = dask_report(filename=str(page))
    client.sync(report.__aenter__)
    return lambda: client.sync(report.__aexit__, None, None, None, code="")
