"""The drivers of a project, bound to its grids and cubes: plain frozen values that travel to every worker."""

from __future__ import annotations

from dataclasses import dataclass

from smdown.features.config import (
    AntecedentDriver,
    DailyDriver,
    DifferenceDriver,
    DriverConfig,
    FeaturesConfig,
    Latest,
    SequenceConfig,
    SourceDriver,
    TerrainDriver,
)
from smdown.grid import NestedGrid, nominal_ratio

_UNITS = {"slope": "m m-1", "northness": "1", "eastness": "1", "curvature": "m-1", "tpi": "m"}


@dataclass(frozen=True)
class FeatureSpec:
    """Which drivers there are, and where their data lie.

    Parameters
    ----------
    drivers : tuple of DriverConfig
        In the order of the channels.
    sequence : SequenceConfig, optional
        What the recurrent network sees.
    base : NestedGrid
        The region on the finest grid, on which the shape of the ground is measured.
    sources_url, features_url : str
        Folders of source cubes and feature cubes.
    """

    drivers: tuple[DriverConfig, ...]
    sequence: SequenceConfig | None
    base: NestedGrid
    sources_url: str
    features_url: str

    @property
    def names(self) -> tuple[str, ...]:
        """Every driver, in the order of the channels."""
        return tuple(d.name for d in self.drivers)

    @property
    def static(self) -> tuple[DriverConfig, ...]:
        """Drivers that no day changes."""
        return tuple(d for d in self.drivers if isinstance(d, SourceDriver | TerrainDriver))

    @property
    def dynamic(self) -> tuple[DriverConfig, ...]:
        """Drivers of a day."""
        return tuple(d for d in self.drivers if isinstance(d, Latest | AntecedentDriver | DailyDriver))

    @property
    def static_names(self) -> tuple[str, ...]:
        """Names of the static drivers, in order."""
        return tuple(d.name for d in self.static)

    @property
    def dynamic_names(self) -> tuple[str, ...]:
        """Names of the drivers of a day, in order."""
        return tuple(d.name for d in self.dynamic)

    @property
    def sequence_names(self) -> tuple[str, ...]:
        """Names of the sequence's drivers, in order."""
        return tuple(d.name for d in self.sequence.drivers) if self.sequence else ()

    @property
    def sequence_ratio(self) -> int:
        """Pixels along a cell on the sequence's grid."""
        return nominal_ratio(self.base.lattice, self.sequence.resolution) if self.sequence else 1

    @property
    def lead_days(self) -> int:
        """Days before the first that its drivers look back to: of sums, of gaps that are bridged, of the sequence."""
        back = [d.days - 1 for d in self.drivers if isinstance(d, AntecedentDriver)]
        back += [d.max_age_days for d in self.drivers if isinstance(d, DailyDriver)]
        return max([0, *back, self.sequence.days - 1 if self.sequence else 0])

    @property
    def units(self) -> dict[str, str]:
        """Units by driver, those of the sequence included; one of the same name has those of the driver."""
        sequence = {d.name: d.units for d in (self.sequence.drivers if self.sequence else ())}
        return sequence | {d.name: d.units or _default_units(d) for d in self.drivers}


def _default_units(driver: DriverConfig) -> str:
    if isinstance(driver, TerrainDriver):
        return _UNITS[driver.measure]
    return "1" if isinstance(driver, DifferenceDriver) else ""


def build_spec(config: FeaturesConfig, base: NestedGrid, *, sources_url: str, features_url: str) -> FeatureSpec:
    """Bind configured drivers to a region and its cubes."""
    return FeatureSpec(config.drivers, config.sequence, base, sources_url, features_url)
