"""What a project directory holds, read with patience: any part of it may be missing."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from smdown.cubes import Cube, exists, get, join, open_cube
from smdown.cubes.store import names
from smdown.errors import ConfigError, InputError, SmdownError
from smdown.evaluation.job import EvaluateJob, LayerInput, job_from_json

FINDINGS = ("space", "calibration", "applicability", "triple_collocation", "station_summary")
"""Files of the evaluation beside ``metrics.json`` and ``sensitivity.json``."""
_TEXT = ("station", "network", "climate", "layer", "day", "cell")  # a station may be called 007, or NA


@dataclass(frozen=True)
class Record:
    """All that a report is made of.

    Parameters
    ----------
    url : str
        The project directory: a folder or fsspec URL.
    metrics, run, sensitivity : dict
        As on disk, empty where absent.
    bundles, histories : dict
        By model.
    matchups, stations : DataFrame
        As on disk, empty where absent.
    job : EvaluateJob, optional
        What was evaluated.
    others : dict
        Further files of the evaluation, by name.
    """

    url: str
    metrics: dict[str, Any] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)
    sensitivity: dict[str, Any] = field(default_factory=dict)
    bundles: dict[str, dict[str, Any]] = field(default_factory=dict)
    histories: dict[str, dict[str, Any]] = field(default_factory=dict)
    matchups: pd.DataFrame = field(default_factory=pd.DataFrame)
    stations: pd.DataFrame = field(default_factory=pd.DataFrame)
    job: EvaluateJob | None = None
    others: dict[str, dict[str, Any]] = field(default_factory=dict)

    def findings(self, name: str) -> dict[str, Any]:
        """Return what ``evaluation/<name>.json`` holds, empty where absent."""
        return self.others.get(name, {})

    @cached_property
    def mosaic(self) -> Cube | None:
        """The mosaic."""
        return self.cube(self.job.mosaic_url if self.job else join(self.url, "mosaic.zarr"))

    def cube(self, url: str | None) -> Cube | None:
        """Return a cube, or None where it is not there or cannot be read."""
        if url is None or not exists(url):
            return None
        try:
            return open_cube(url)
        except SmdownError:
            return None

    @property
    def layers(self) -> tuple[LayerInput, ...]:
        """Layers that were evaluated, or else those of the mosaic."""
        if self.job is not None:
            return self.job.layers
        if self.mosaic is None:
            return ()
        found = [v for v in self.mosaic.variables.values() if v.timed and v.is_float and not v.name.endswith("_std")]
        return tuple(LayerInput(v.name, "", "", v.long_name, v.units) for v in found)

    def members(self, layer: str, reference: str) -> dict[str, dict[str, float]]:
        """Return a reference's figures by member, NaN for null; empty where there are none."""
        members = self.metrics.get("layers", {}).get(layer, {}).get(reference, {})
        return {member: {k: number(v) for k, v in values.items()} for member, values in members.items()}

    def consistency(self, layer: str) -> dict[str, float]:
        """Return the figures of the map's consistency with itself."""
        return {k: number(v) for k, v in self.metrics.get("consistency", {}).get(layer, {}).items()}

    def matched(self, layer: str, *, held_out: bool | None = None) -> pd.DataFrame:
        """Return the matchups of a layer, of all stations or of one kind."""
        if self.matchups.empty:
            return self.matchups
        rows = self.matchups[self.matchups["layer"] == layer]
        return rows if held_out is None else rows[rows["held_out"] == held_out]

    def day_to_show(self, wanted: str | None) -> str | None:
        """Return the day of the maps: the one asked for, or that with truth and most values nearest the middle."""
        if self.mosaic is None:
            return None
        days = [str(d) for d in self.mosaic.times.astype("datetime64[D]")]
        if wanted in days:
            return wanted
        if wanted is not None:
            raise ConfigError(f"got the day {wanted}; the map has {len(days)}, {days[0]} to {days[-1]}; name one")
        by_day: dict[str, Any] = next(iter(self.metrics.get("by_day", {}).values()), {})

        def rank(i: int) -> tuple[bool, float, float]:
            entry = by_day.get(days[i], {})
            return "truth" in entry, round(number(entry.get("valid_fraction", 0)), 2), -abs(i - (len(days) - 1) / 2)

        return days[max(range(len(days)), key=rank)]


def number(value: Any) -> float:
    """Return a number of a JSON file, NaN for null and for what is none."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def load_record(workdir: str | Path) -> Record:
    """Read whatever a project directory holds."""
    url = str(workdir)
    models = {name: join(url, "models", name) for name in names(join(url, "models"))}
    job = _json(join(url, "evaluation", "job.json"))
    return Record(
        url,
        _json(join(url, "evaluation", "metrics.json")),
        _json(join(url, "run.json")),
        _json(join(url, "evaluation", "sensitivity.json")),
        {name: bundle for name, place in models.items() if (bundle := _json(join(place, "bundle.json")))},
        {name: history for name, place in models.items() if (history := _json(join(place, "history.json")))},
        _csv(join(url, "evaluation", "matchups.csv")),
        _csv(join(url, "evaluation", "stations.csv")),
        job_from_json(job) if job else None,
        {name: _json(join(url, "evaluation", f"{name}.json")) for name in FINDINGS},
    )


def _json(url: str) -> dict[str, Any]:
    try:
        data = json.loads(get(url) or b"{}")
    except ValueError as error:
        raise _damaged(url, error) from error
    return data if isinstance(data, dict) else {}


def _csv(url: str) -> pd.DataFrame:
    found = get(url)
    if found is None:
        return pd.DataFrame()
    try:
        return pd.read_csv(io.BytesIO(found), dtype=dict.fromkeys(_TEXT, str), keep_default_na=False, na_values=[""])
    except ValueError as error:
        raise _damaged(url, error) from error


def _damaged(url: str, error: ValueError) -> InputError:
    return InputError(f"got {url}, which is damaged ({error}); delete it and run the stage that wrote it again")


def time_index(cube: Cube, day: str) -> int | None:
    """Return the position of a day in a cube, or None."""
    found = np.flatnonzero(cube.times == np.datetime64(day, "ns"))
    return int(found[0]) if found.size else None


def flat(data: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested values as one level of text, for a table."""
    out: dict[str, str] = {}
    for key, value in data.items():
        name = f"{prefix}{key}".replace("_", " ")
        if isinstance(value, Mapping):
            out |= flat(value, f"{name} / ")
        elif isinstance(value, list | tuple):
            out[name] = ", ".join(str(v) for v in value[:12]) + (
                f" ... ({len(value)} in all)" if len(value) > 12 else ""
            )
        elif value is not None and value != "":
            out[name] = f"{value:.6g}" if isinstance(value, float) else str(value)
    return out
