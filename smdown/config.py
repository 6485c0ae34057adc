"""The project file: one strict YAML for the whole pipeline, composed of the rooms' own models."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, model_validator
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError

from smdown.errors import ConfigError, GridError
from smdown.evaluation.config import CollocationConfig, ReferenceConfig, check_independence, check_products
from smdown.features import FeaturesConfig
from smdown.grid import LATTICES, Lattice, NestedGrid, Window, nominal_ratio
from smdown.inference.mosaic import DISSIMILARITY, FLAGS, std_name
from smdown.schema import describe
from smdown.sources import SourceConfig
from smdown.sources.config import RESERVED
from smdown.training import TrainingConfig, check_no_leak


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PeriodConfig(_Model):
    """Days that the project covers, both ends included."""

    start: date = Field(description="First day.")
    end: date = Field(description="Last day.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.end < self.start:
            raise ValueError(f"the period ends on {self.end}, before it starts on {self.start}")
        return self

    @property
    def days(self) -> tuple[str, ...]:
        """Every day, as ISO text."""
        count = (self.end - self.start).days + 1
        return tuple((self.start + timedelta(days=n)).isoformat() for n in range(count))


class LatticeConfig(_Model):
    """The grid of a coarse product that is not one of those with a name."""

    name: str = Field(pattern=r"^[a-z0-9_]+$", description="Short name, kept with what is trained on it.")
    crs: str = Field(description="Coordinate reference system in metres, such as EPSG:4087 for a grid in degrees.")
    x0: float = Field(description="Left edge of the first column, in its units.")
    y0: float = Field(description="Upper edge of the first row, in its units.")
    cell: float = Field(gt=0, description="Side of a cell, in its units.")
    rows: int = Field(gt=0, description="Rows, from north to south.")
    cols: int = Field(gt=0, description="Columns.")

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if self.name in LATTICES:
            raise ValueError(f"{self.name!r} is a lattice that is known; write its name alone, or choose another")
        try:
            crs = CRS.from_user_input(self.crs)
        except CRSError:
            raise ValueError(f"{self.crs!r} names no coordinate reference system; try EPSG:4087") from None
        if not crs.is_projected:
            raise ValueError(f"{self.crs} is not in metres; for a grid in degrees write EPSG:4087, 111319.49 m each")
        return self

    @property
    def lattice(self) -> Lattice:
        """The grid."""
        return Lattice(**self.model_dump())


def _lattice_form(value: Any) -> str:
    """Return whether a lattice is given by its name or in full, so that errors are of that form alone."""
    return "own" if isinstance(value, dict | LatticeConfig) else "named"


class ExtentConfig(_Model):
    """The region, in one of two ways; whole cells of the lattice are taken."""

    bbox: tuple[float, float, float, float] | None = Field(
        None, description="West, south, east, north in degrees: the cells whose centres lie inside."
    )
    cells: tuple[int, int, int, int] | None = Field(
        None, description="First row, row after the last, first column, column after the last, of the lattice."
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.bbox is None) == (self.cells is None):
            raise ValueError("give either bbox or cells")
        return self

    def window(self, lattice: Lattice) -> Window:
        """Return the cells of the region.

        Raises
        ------
        ConfigError
            If there are none.
        """
        try:
            window = Window(*self.cells) if self.cells else self._window_of_bbox(lattice)
            return NestedGrid(lattice, window, 1).cells
        except GridError as error:
            given = f"cells {list(self.cells)}" if self.cells else f"bbox {list(self.bbox or ())}"
            raise ConfigError(
                f"got the extent {given}, which holds no cell of {lattice.name} ({error}); "
                "write bbox as west, south, east, north, or cells as first row, end row, first column, end column"
            ) from error

    def _window_of_bbox(self, lattice: Lattice) -> Window:
        west, south, east, north = self.bbox or (0.0, 0.0, 0.0, 0.0)
        if west > east or max(abs(west), abs(east)) > 180.0:
            raise ConfigError(
                f"got the extent bbox {list(self.bbox or ())}, over the antimeridian, where {lattice.name} ends; "
                "make a project of each side, with longitudes from -180 to 180"
            )
        transformer = Transformer.from_crs("EPSG:4326", lattice.crs, always_xy=True)
        (x0, x1), (y0, y1) = transformer.transform([west, east], [north, south])
        return Window(
            _first_centre((lattice.y0 - y0) / lattice.cell),
            _first_centre((lattice.y0 - y1) / lattice.cell),
            _first_centre((x0 - lattice.x0) / lattice.cell),
            _first_centre((x1 - lattice.x0) / lattice.cell),
        )


def _first_centre(position: float) -> int:
    """Return the first cell whose centre lies at or after a position counted in cells."""
    return int(-(-(position - 0.5) // 1))


class LayerConfig(_Model):
    """One variable to downscale."""

    source: str = Field(description="Source that holds the coarse product.")
    variable: str = Field(description="Its variable there.")
    units: str = Field("m3 m-3", description="Units, as in the product.")
    long_name: str = Field("", description="Name for people.")
    standard_name: str = Field("", description="CF standard name, where there is one.")
    valid_range: tuple[float, float] = Field((0.0, 0.9), description="Physical limits; no pixel leaves them.")
    uncertainty: float = Field(
        0.03, ge=0, allow_inf_nan=False, description="Standard deviation of the coarse product's error."
    )
    uncertainty_variable: str | None = Field(
        None,
        description="Variable of the source that states that error for every cell and day, such as the spread "
        "of SPL4SMAU's ensemble; where it is missing, uncertainty is taken.",
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        low, high = self.valid_range
        if not -math.inf < low < high < math.inf:
            raise ValueError(f"valid_range {[low, high]} is no range; write two numbers, the lower limit first")
        return self


class PredictionConfig(_Model):
    """How the fine map is made."""

    days: tuple[date, ...] | None = Field(None, description="Days to map; all of the period by default.")
    every: int = Field(1, ge=1, description="Where no days are named: every so many days of the period.")
    cells_per_tile: int = Field(4, ge=1, description="Coarse cells along one side of a tile.")
    constraint: Literal["logit", "smooth", "additive", "multiplicative", "none"] = Field(
        "logit",
        description="How the mean over each coarse cell is made equal to the coarse value; smooth: as logit, by a "
        "correction that runs on across the borders of cells.",
    )
    members: bool = Field(False, description="Whether each network's own map is kept too, for comparison.")


class FootprintConfig(_Model):
    """What a station sees of the map."""

    radius_m: float = Field(
        0.0, ge=0, le=5000, description="Radius around a station over which the map is averaged, m; 0: its pixel."
    )
    weights: Literal["gaussian", "uniform"] = Field(
        "gaussian", description="exp(-2 (distance / radius)^2) up to the radius, or all pixels alike."
    )
    networks: dict[str, Annotated[float, Field(ge=0, le=5000)]] = Field(
        default_factory=dict, description="Networks with another radius, m, such as {COSMOS: 350}."
    )


class EvaluationConfig(_Model):
    """What the map is compared with."""

    truth: str | None = Field(
        None, description="Fine reference on the map's grid: a source (dated_raster), or the URL of a cube."
    )
    stations: str | None = Field(None, description="Source that holds stations.")
    references: dict[str, ReferenceConfig] = Field({}, description="Coarser gridded products to compare with, by name.")
    triple_collocation: CollocationConfig | None = Field(
        None, description="Products that are independent of the map and of the stations."
    )
    footprint: FootprintConfig = FootprintConfig()
    sensitivity: bool = Field(True, description="Whether drivers are ranked.")
    sensitivity_methods: tuple[Literal["permutation", "sobol", "gradients", "ale"], ...] = Field(
        ("permutation", "sobol", "gradients", "ale"),
        description="How, apart from permutation, which is always used; sobol and gradients need smdown[sensitivity].",
    )
    baselines: bool = Field(
        False,
        description="Whether linear regression and gradient boosting are fitted to the same samples and mapped too.",
    )


class ProjectConfig(_Model):
    """Everything that a run is made of, machines apart."""

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]+$", description="Short name; also the default working directory.")
    title: str = Field("", description="Heading of the report.")
    inputs: str = Field(".", description="Folder or URL where the sources' relative paths start.")
    lattice: Annotated[
        Annotated[Literal["ease2_m09", "ease2_m36"], Tag("named")] | Annotated[LatticeConfig, Tag("own")],
        Discriminator(_lattice_form),
    ] = Field("ease2_m09", description="Grid of the coarse product: a name, or a grid of your own.")
    extent: ExtentConfig
    period: PeriodConfig
    layers: dict[str, LayerConfig] = Field(min_length=1)
    sources: dict[str, Annotated[SourceConfig, Field(discriminator="kind")]]
    features: FeaturesConfig
    training: TrainingConfig
    prediction: PredictionConfig = PredictionConfig()
    evaluation: EvaluationConfig = EvaluationConfig()

    @property
    def coarse_lattice(self) -> Lattice:
        """The whole grid of the coarse product."""
        return self.lattice.lattice if isinstance(self.lattice, LatticeConfig) else LATTICES[self.lattice]

    @property
    def lattice_identity(self) -> Any:
        """What tells one lattice from another, in plain JSON: its name, or all of it."""
        return self.lattice.model_dump(mode="json") if isinstance(self.lattice, LatticeConfig) else self.lattice

    @property
    def grid(self) -> NestedGrid:
        """The finest grid: the one that is mapped."""
        lattice = self.coarse_lattice
        finest = min(self.features.resolutions)
        return NestedGrid(lattice, self.extent.window(lattice), nominal_ratio(lattice, finest))

    @property
    def mapped_days(self) -> tuple[str, ...]:
        """Days that the mosaic holds."""
        if self.prediction.days is None:
            return self.period.days[:: self.prediction.every]
        if not self.prediction.days:
            raise ConfigError("got no prediction days; name some, or drop prediction.days to map the whole period")
        days = tuple(sorted({d.isoformat() for d in self.prediction.days}))
        outside = [d for d in days if d not in set(self.period.days)]
        if outside:
            raise ConfigError(
                f"got prediction days {', '.join(outside)} outside the period "
                f"{self.period.start} to {self.period.end}; widen the period or drop them"
            )
        return days

    def check(self) -> None:
        """Raise ConfigError where parts do not fit together."""
        self._check_layers()
        _check_names("layers", (layer.source for layer in self.layers.values()), self.sources)
        _check_names("features.drivers", self.features.source_names, self.sources)
        _check_names("training.labels", (label.source for label in self.training.labels), self.sources)
        for label in self.training.labels:
            if unknown := set(label.variables) - set(self.layers):
                raise ConfigError(
                    f"training.labels: got variables for {', '.join(sorted(unknown))}, "
                    f"which are not among layers ({', '.join(self.layers)})"
                )
        if self.evaluation.stations is not None:
            _check_names("evaluation.stations", (self.evaluation.stations,), self.sources)
        self._check_products()
        check_no_leak({label.source for label in self.training.labels}, set(self.features.source_names))
        self._check_truth()
        _ = self.grid, self.mapped_days

    def _check_layers(self) -> None:
        """Raise ConfigError where a layer cannot have its name in the map."""
        taken = {*RESERVED, FLAGS, DISSIMILARITY, *map(std_name, self.layers)}
        for name in self.layers:
            if name in taken or not re.fullmatch(r"[A-Za-z_][\w.-]*", name):
                raise ConfigError(
                    f"layers: got the name {name!r}, which is none or is taken in the map; write another, of letters, "
                    "digits and _"
                )

    def _check_truth(self) -> None:
        """Raise ConfigError where what the map is judged by is also what it is made from."""
        used = {label.source for label in self.training.labels} | set(self.features.source_names)
        used |= {layer.source for layer in self.layers.values()}
        if self.evaluation.truth in used:
            raise ConfigError(
                f"evaluation.truth: got {self.evaluation.truth}, which the map is made from; name an independent source"
            )

    def _check_products(self) -> None:
        """Raise ConfigError where what the map is compared with does not fit, or is not independent of it."""
        evaluation, finest = self.evaluation, min(self.features.resolutions)
        check_products("evaluation.references", evaluation.references, self.layers, self.sources)
        for name, reference in evaluation.references.items():
            if reference.resolution < finest:
                raise ConfigError(
                    f"evaluation.references.{name}: got a resolution of {reference.resolution} m, finer than the map's "
                    f"{finest} m; compare on a grid that is not finer than the map"
                )
            nominal_ratio(self.coarse_lattice, reference.resolution)
        if (collocation := evaluation.triple_collocation) is None:
            return
        check_products("evaluation.triple_collocation", collocation.products, self.layers, self.sources)
        if evaluation.stations is None:
            raise ConfigError(
                "got evaluation.triple_collocation without evaluation.stations, the second of its three data sets; "
                "name a source of stations, or drop it"
            )
        labels = {label.source for label in self.training.labels} - {evaluation.stations}
        ours = {layer.source for layer in self.layers.values()} | labels | set(self.features.source_names)
        kinds = {name: source.kind for name, source in self.sources.items()}
        check_independence(collocation, ours, evaluation.stations, kinds)


def _check_names(where: str, names: Iterable[str], known: dict[str, Any]) -> None:
    for name in names:
        if name not in known:
            raise ConfigError(f"{where}: got the source {name!r}, which is not among sources ({', '.join(known)})")


def load_config(path: str | Path, overrides: Iterable[str] = ()) -> ProjectConfig:
    """Read a project file.

    Parameters
    ----------
    path : path-like
        YAML file. ``${NAME}`` in a text stands for an environment variable.
    overrides : iterable of str
        ``a.b=c`` replaces one value; ``c`` is read as YAML.

    Raises
    ------
    ConfigError
        In one line, if anything in it cannot be used.
    """
    data = _read_yaml(path)
    for override in overrides:
        _override(data, override)
    try:
        config = ProjectConfig.model_validate(_expand(data))
    except ValidationError as error:
        raise ConfigError(f"{path}: {describe(error, ProjectConfig)}") from error
    config.check()
    return config


def _read_yaml(path: str | Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise ConfigError(f"got the project file {path}, which cannot be read ({reason}); name a YAML file") from error
    except yaml.YAMLError as error:
        problem = " ".join(str(error).split())
        raise ConfigError(f"got the project file {path}, which is not YAML: {problem}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"got the project file {path}, which holds no keys; see configs/ for examples")
    return data


def _override(data: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise ConfigError(f"got --set {override!r}; write --set key.inner=value")
    *parents, last = path.split(".")
    place: Any = data
    for part in parents:
        place = place.setdefault(part, {}) if isinstance(place, dict) else place[_index(override, part, place)]
    if isinstance(place, list):
        place[_index(override, last, place)] = yaml.safe_load(text)
    elif isinstance(place, dict):
        place[last] = yaml.safe_load(text)
    else:
        raise ConfigError(f"got --set {override!r}, but {'.'.join(parents)} is a single value; name a key that exists")


def _index(override: str, part: str, place: Any) -> int:
    if isinstance(place, list) and part.isdigit() and int(part) < len(place):
        return int(part)
    raise ConfigError(f"got --set {override!r}, where {part!r} names nothing; use a key, or a position in a list")


def _expand(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _expand(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_expand(inner) for inner in value]
    return re.sub(r"\$\{(\w+)\}", _variable, value) if isinstance(value, str) else value


def _variable(match: re.Match[str]) -> str:
    name = match[1]
    if name not in os.environ:
        raise ConfigError(
            f"got ${{{name}}} in the project file, but the environment has no {name}; "
            f"set it (export {name}=...), or give the value with --set"
        )
    return os.environ[name]
