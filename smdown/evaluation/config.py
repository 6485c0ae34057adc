"""What a project file says of other products that the map is set beside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pydantic import BaseModel, ConfigDict, Field

from smdown.errors import ConfigError

RESERVED = ("station", "layer", "day", "dissimilarity")
"""Names that a product cannot have, as tables have columns of these names."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ReferenceConfig(_Model):
    """A gridded product that the map is compared with on a grid coarser than its own."""

    source: str = Field(description="Source that holds it.")
    variables: dict[str, str] = Field(min_length=1, description="Its variable of each layer.")
    resolution: int = Field(ge=1, description="Nominal pixel of the nested grid of the comparison, in metres.")


class IndependentConfig(_Model):
    """A product whose errors are independent of the map's and of the stations'."""

    source: str = Field(description="Source that holds it.")
    variables: dict[str, str] = Field(min_length=1, description="Its variable of each layer.")
    derives_from: tuple[str, ...] = Field(
        (), description="What went into it: names of sources, or of products such as smap. None of that may be ours."
    )


class CollocationConfig(_Model):
    """Triple collocation at the stations: of the map, the stations, and each of the products in turn."""

    products: dict[str, IndependentConfig] = Field(min_length=1, description="Independent products, by name.")
    anomaly_days: int | None = Field(
        None, ge=3, description="Days of the moving average that is subtracted first; each series' mean by default."
    )


def check_products(
    where: str,
    products: Mapping[str, ReferenceConfig] | Mapping[str, IndependentConfig],
    layers: Iterable[str],
    sources: Iterable[str],
) -> None:
    """Raise ConfigError where a product names a source or a layer that is not there, or has a name that is taken."""
    known, there = list(layers), list(sources)
    for name, product in products.items():
        if name in RESERVED:
            raise ConfigError(f"{where}: got a product called {name!r}, a name that tables use; call it otherwise")
        if product.source not in there:
            raise ConfigError(
                f"{where}.{name}: got the source {product.source!r}, which is not among sources ({', '.join(there)})"
            )
        if unknown := [layer for layer in product.variables if layer not in known]:
            raise ConfigError(
                f"{where}.{name}: got variables for {', '.join(unknown)}, "
                f"which are not among layers ({', '.join(known)})"
            )


def check_independence(
    collocation: CollocationConfig, ours: Iterable[str], stations: str, kinds: Mapping[str, str]
) -> None:
    """Refuse triple collocation of products that share an origin: errors in common would pass for skill.

    Parameters
    ----------
    collocation : CollocationConfig
        The products.
    ours : iterable of str
        Sources that the map is made from, the coarse product, labels and drivers.
    stations : str
        Source of the stations.
    kinds : mapping
        Kind of every source; all kinds of SMAP are of one origin, ``smap``.

    Raises
    ------
    ConfigError
        Naming the product and what it shares.
    """
    map_origins, station_origins = _origins(ours, kinds), _origins((stations,), kinds)
    for name, product in collocation.products.items():
        own = _origins((product.source, *product.derives_from), kinds)
        for whom, others in (("the map", map_origins), ("the stations", station_origins)):
            if shared := sorted(own & others):
                raise ConfigError(
                    f"evaluation.triple_collocation.products.{name}: got a product that derives from "
                    f"{', '.join(shared)}, as {whom} does; its errors are not independent: name one without, or drop it"
                )


def _origins(names: Iterable[str], kinds: Mapping[str, str]) -> set[str]:
    found = {name.lower() for name in names}
    return found | {"smap" for name in names if kinds.get(name, "").startswith("smap")}
