"""What a twin is made from, and where its files lie."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from smdown import __version__
from smdown.errors import InputError
from smdown.grid import EASE2_M09, Window

FILE = "twin.json"
FOLDERS = {
    "smap": "smap",
    "dem": "dem",
    "soil": "soil",
    "optical": "optical",
    "precipitation": "precipitation",
    "stations": "stations",
    "truth": "truth.zarr",
}


@dataclass(frozen=True)
class TwinSummary:
    """A finished twin.

    Parameters
    ----------
    root : Path
        Its folder.
    cells : Window
        Its cells of EASE-Grid 2.0 M09, in lattice indices.
    bounds : tuple of float
        West, south, east and north of the region (degrees).
    start, end : str
        First and last day, ISO.
    truth_days : tuple of str
        Days that the truth is kept of, ISO.
    station_ids : tuple of str
        Stations, as ``network/station``.
    crs_optical : str
        UTM zone of the optical scenes.
    seed : int
        Seed.
    recipe : str
        Everything that decides the bytes of the files.
    """

    root: Path
    cells: Window
    bounds: tuple[float, float, float, float]
    start: str
    end: str
    truth_days: tuple[str, ...]
    station_ids: tuple[str, ...]
    crs_optical: str
    seed: int
    recipe: str

    @property
    def smap(self) -> Path:
        """Folder of the coarse product's files."""
        return self.root / FOLDERS["smap"]

    @property
    def dem(self) -> Path:
        """Folder of the elevation tiles."""
        return self.root / FOLDERS["dem"]

    @property
    def soil(self) -> Path:
        """Folder of the soil rasters."""
        return self.root / FOLDERS["soil"]

    @property
    def optical(self) -> Path:
        """Folder of the optical scenes."""
        return self.root / FOLDERS["optical"]

    @property
    def precipitation(self) -> Path:
        """Folder of the precipitation files."""
        return self.root / FOLDERS["precipitation"]

    @property
    def stations(self) -> Path:
        """Folder of the station files."""
        return self.root / FOLDERS["stations"]

    @property
    def truth(self) -> Path:
        """The cube of the truth."""
        return self.root / FOLDERS["truth"]

    def save(self) -> None:
        """Write ``twin.json``, which marks the twin as finished; paths in it are relative to it."""
        content = asdict(self) | {
            "lattice": EASE2_M09.name,
            "crs": EASE2_M09.crs,
            "cells": [self.cells.y0, self.cells.y1, self.cells.x0, self.cells.x1],
            "paths": FOLDERS,
            "version": __version__,
        }
        del content["root"]
        (self.root / FILE).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def load_summary(root: Path) -> TwinSummary:
    """Return the summary of a finished twin.

    Raises
    ------
    InputError
        If there is none in the folder.
    """
    path = root / FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return TwinSummary(
            root,
            Window(*content["cells"]),
            (*content["bounds"],),
            content["start"],
            content["end"],
            tuple(content["truth_days"]),
            tuple(content["station_ids"]),
            content["crs_optical"],
            content["seed"],
            content["recipe"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"got {root}, which holds no finished twin ({error}); make one with `smdown twin`") from error
