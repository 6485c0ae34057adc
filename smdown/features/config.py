"""What a project file says of its drivers."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from smdown.features.expression import variables

Resampling = Literal["auto", "cubic", "average", "bilinear", "nearest", "mode"]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Driver(_Model):
    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", description="Name of the driver; unique.")
    source: str = Field(description="Source that it is made from.")
    units: str = Field("", description="Units; those of the source's variable where left out.")
    required: bool = Field(True, description="Whether a pixel without it is left out of the map; else it is imputed.")


class SourceDriver(_Driver):
    """A variable of a source, as it is."""

    kind: Literal["source"] = "source"
    variable: str = Field(description="Variable of the source.")
    resampling: Resampling = Field("auto", description="auto: cubic when refining, area average when coarsening.")


class TerrainDriver(_Driver):
    """A measure of the shape of the ground, from elevation."""

    kind: Literal["terrain"] = "terrain"
    variable: str = Field("elevation", description="Variable that holds elevation, m.")
    measure: Literal["slope", "northness", "eastness", "curvature", "tpi"] = Field(description="What is measured.")
    radius_m: float = Field(500.0, gt=0, description="Half side of the square that tpi compares with, m.")
    at: Literal["base", "own"] = Field(
        "base", description="base: computed on the finest grid and averaged; own: computed on the grid asked for."
    )
    resampling: Resampling = Field("auto", description="How elevation comes to the grid.")


class DifferenceDriver(_Driver):
    """A normalised difference ``(a - b) / (a + b)`` of two reflectances, which are resampled first.

    NDVI is (nir, red), NDWI after Gao 1996 (nir, swir1), NDWI after McFeeters 1996 (green, nir). It is missing where
    either is negative or both are 0: beyond -1 to 1 an index says nothing, and NASA's indices of HLS leave it out too.
    """

    kind: Literal["normalized_difference"] = "normalized_difference"
    a: str = Field(description="First variable of the source.")
    b: str = Field(description="Second variable of the source.")
    resampling: Resampling = Field("auto", description="auto: cubic when refining, area average when coarsening.")


class AntecedentDriver(_Driver):
    """A sum over the last days, the day itself counted in; with `decay`, the antecedent precipitation index."""

    kind: Literal["antecedent"] = "antecedent"
    variable: str = Field(description="Daily variable of the source.")
    days: int = Field(ge=1, description="Days that are summed.")
    decay: float | None = Field(None, gt=0, le=1, description="Weight of a day relative to the one after it.")
    resampling: Resampling = Field("auto", description="auto: cubic when refining, area average when coarsening.")


class DailyDriver(_Driver):
    """The value of the day."""

    kind: Literal["daily"] = "daily"
    variable: str = Field(description="Daily variable of the source.")
    max_age_days: int = Field(3, ge=0, description="Days to look back where the day's value is missing.")
    resampling: Resampling = Field("auto", description="auto: cubic when refining, area average when coarsening.")


class _OfVariables(_Driver):
    """Made from several variables of a source, which are resampled first; of a daily one, from its latest step."""

    valid_range: tuple[float, float] | None = Field(None, description="Values outside are missing.")
    resampling: Resampling = Field("auto", description="auto: cubic when refining, area average when coarsening.")


class ExpressionDriver(_OfVariables):
    """Arithmetic over variables of a source, such as SAVI: ``1.5 * (nir - red) / (nir + red + 0.5)``."""

    kind: Literal["expression"] = "expression"
    expression: str = Field(description="Variables, numbers, + - * / **, sqrt, log, exp, abs, minimum, maximum.")

    @field_validator("expression")
    @classmethod
    def _arithmetic(cls, text: str) -> str:
        variables(text)
        return text

    @property
    def variables(self) -> tuple[str, ...]:
        """Variables of the source that it needs."""
        return variables(self.expression)


class FunctionDriver(_OfVariables):
    """A function of an installed package (entry point group ``smdown.drivers``), called on a window and its halo."""

    kind: Literal["function"] = "function"
    function: str = Field(description="Name of the entry point.")
    variables: tuple[str, ...] = Field(min_length=1, description="Variables of the source that it is given.")
    halo_px: int = Field(0, ge=0, le=256, description="Pixels around the window that it needs.")


Latest = DifferenceDriver | ExpressionDriver | FunctionDriver
"""Drivers that change with the steps of their source, such as composites, and last until the next."""

DriverConfig = Annotated[
    SourceDriver
    | TerrainDriver
    | DifferenceDriver
    | ExpressionDriver
    | FunctionDriver
    | AntecedentDriver
    | DailyDriver,
    Field(discriminator="kind"),
]


class SequenceDriver(_Model):
    """One daily variable of the sequence that the recurrent network sees."""

    name: str = Field(description="Name of the driver; unique in the sequence.")
    source: str = Field(description="Source that it comes from.")
    variable: str = Field(description="Daily variable of the source.")
    units: str = Field("", description="Units.")


class SequenceConfig(_Model):
    """Daily drivers on a coarse grid, oldest day first."""

    days: int = Field(30, ge=1, description="Length; the last step is the day itself.")
    resolution: int = Field(1000, ge=1, description="Nominal pixel of the sequence's grid.")
    drivers: tuple[SequenceDriver, ...] = Field(min_length=1, description="What changes from day to day.")


def _refuse_twice(names: list[str], what: str) -> None:
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"the {what} {', '.join(twice)} stand twice; give each a name of its own")


class FeaturesConfig(_Model):
    """All drivers, and the grids that they are brought to."""

    resolutions: tuple[int, ...] = Field(
        (1000, 100, 50, 30), min_length=1, description="Nominal pixels; the finest is mapped."
    )
    materialise: tuple[int, ...] | None = Field(
        None, description="Resolutions whose static drivers are kept as cubes; all by default. Others are made anew."
    )
    drivers: tuple[DriverConfig, ...] = Field(min_length=1, description="In the order of the networks' channels.")
    sequence: SequenceConfig | None = Field(None, description="What the recurrent network sees; none without one.")

    @model_validator(mode="after")
    def _names_once(self) -> Self:
        _refuse_twice([driver.name for driver in self.drivers], "drivers")
        _refuse_twice([driver.name for driver in self.sequence.drivers] if self.sequence else [], "sequence's drivers")
        return self

    @property
    def materialised(self) -> tuple[int, ...]:
        """Resolutions whose static drivers are kept as cubes."""
        return self.resolutions if self.materialise is None else self.materialise

    @property
    def source_names(self) -> tuple[str, ...]:
        """Sources that the drivers are made from."""
        sequence = self.sequence.drivers if self.sequence else ()
        return tuple(dict.fromkeys(driver.source for driver in (*self.drivers, *sequence)))
