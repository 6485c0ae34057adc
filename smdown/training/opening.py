"""Drivers and stations, opened from the context where a caller gives none."""

from __future__ import annotations

import xarray as xr

from smdown.errors import ConfigError
from smdown.training.config import TrainingConfig
from smdown.training.context import DriverLoader, TrainContext


def open_loader(context: TrainContext) -> DriverLoader:
    """Return the loader of the context's drivers."""
    from smdown.features import get_loader

    loader: DriverLoader = get_loader(context.spec)
    return loader


def stations_of(config: TrainingConfig, context: TrainContext, given: xr.Dataset | None) -> xr.Dataset | None:
    """Return the stations that a label asks for, if any does.

    Raises
    ------
    ConfigError
        If a label asks for stations and the project has none.
    """
    if config.label("stations") is None:
        return None
    if given is not None:
        return given
    if context.stations_url is None:
        raise ConfigError("got a label of stations but no station source; add one to sources or drop the label")
    from smdown.sources import open_stations

    return open_stations(context.stations_url)
