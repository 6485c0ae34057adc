"""What a project hands out: its map, drivers and sources as lazy datasets, pictures, the report, files to give away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import xarray as xr
import yaml

from smdown import evaluation, features
from smdown.cubes.store import zarr_store
from smdown.errors import ConfigError
from smdown.features.config import Resampling
from smdown.grid import NestedGrid, nominal_ratio

if TYPE_CHECKING:
    from smdown.project.project import Project
    from smdown.runtime import Bar


def mosaic(project: Project) -> xr.Dataset:
    """Return the map, lazily."""
    return xr.open_zarr(zarr_store(project.mosaic_url, read_only=True))


def drivers(project: Project, resolution: int, days: Sequence[str] | None) -> xr.Dataset:
    """Return the drivers on one of the nested grids, lazily."""
    return features.lazy_dataset(project.spec, _grid(project, resolution), tuple(days or project.config.mapped_days))


def resampled(
    project: Project, name: str, resolution: int, variables: Sequence[str] | None, method: Resampling
) -> xr.Dataset:
    """Return an ingested source on one of the nested grids, lazily."""
    known = tuple(project.source_configs)
    if name not in known:
        raise ConfigError(f"got the source {name!r}; the project has {', '.join(known)}")
    url = project.url("sources", f"{name}.zarr")
    return features.lazy_source(url, _grid(project, resolution), names=variables, method=method)


def _grid(project: Project, resolution: int) -> NestedGrid:
    grid = project.config.grid
    return grid.at(nominal_ratio(grid.lattice, resolution))


def quicklook_urls(project: Project) -> list[str]:
    """Return the places of the pictures: one a layer, of the last mapped day."""
    day = project.config.mapped_days[-1]
    return [project.url("quicklooks", f"{layer.name}_{day}.png") for layer in project.layers]


def write_quicklooks(project: Project) -> None:
    """Draw the last mapped day of every layer."""
    from smdown.export.quicklook import quicklook

    for layer, place in zip(project.layers, quicklook_urls(project), strict=True):
        quicklook(project.mosaic_url, layer.name, project.config.mapped_days[-1], place)


def write_report(project: Project, day: str | None = None) -> str:
    """Write ``report.html`` and return its place."""
    text = yaml.safe_dump(project.config.model_dump(mode="json", exclude_unset=True), sort_keys=False)
    title = project.config.title or project.config.name
    return evaluation.write_report(project.workdir, title=title, day=day, config_text=text)


def sensitivity_parts(project: Project) -> tuple[list[int], tuple[str, ...]]:
    """Return the resolutions and the methods by which drivers are ranked."""
    config = project.config
    wanted = {*config.training.resolutions, min(config.features.resolutions)}
    return sorted(wanted, reverse=True), config.evaluation.sensitivity_methods


def write_sensitivity(project: Project, bar: Bar) -> None:
    """Rank the drivers, at the training resolutions and that of the map."""
    resolutions, methods = sensitivity_parts(project)
    evaluation.sensitivity(
        project.evaluate_job,
        project.train_context,
        project.bundle_url,
        resolutions=resolutions,
        methods=methods,
        progress=lambda text, done, total: bar.update(done, total, text),
    )
