"""The soil: texture as maps know it, and hydraulic properties as the water feels them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from smdown.twin.fields import Component, gaussian_field, stream
from smdown.twin.frame import Frame
from smdown.twin.terrain import Terrain

Array32 = npt.NDArray[np.float32]

SURFACE_MM, ROOT_MM = 50.0, 950.0
"""Thickness of the two layers: 0-5 cm, and 5-100 cm."""
PARTICLE_DENSITY = 2.7
"""Density of mineral grains (g cm-3)."""
_FIELD_CAPACITY_MM, _WILTING_MM = 3365.0, 153000.0  # suction of 33 and 1500 kPa as a column of water
_REGIONAL = (Component(14000.0, 0.42), Component(4500.0, 0.28), Component(1300.0, 0.19), Component(350.0, 0.11))
_HIDDEN = (Component(1500.0, 0.45), Component(350.0, 0.43), Component(0.0, 0.12))


@dataclass(frozen=True)
class Texture:
    """What a soil map could tell; float32 ``(y, x)``.

    Parameters
    ----------
    sand, clay : ndarray
        Mass fraction of the mineral soil (%).
    organic : ndarray
        Organic matter (% of mass).
    """

    sand: Array32
    clay: Array32
    organic: Array32


class Hydraulics(NamedTuple):
    """What the water balance needs of the soil; float32 ``(y, x)``.

    Parameters
    ----------
    porosity, capacity, wilting : ndarray
        Water content at saturation, at field capacity and at the wilting point (m3 m-3).
    power : ndarray
        Exponent of drainage, 2 b + 2 with the b of Clapp and Hornberger (1978).
    surface_rate, root_rate : ndarray
        `power` times saturated conductivity over the layer's pore space (1/day).
    interflow : ndarray
        Share of the root layer's drainage that runs downhill within the soil.
    gathering : ndarray
        Weight with which a pixel receives the interflow of its surroundings.
    demand : ndarray
        Factor on evapotranspiration.
    """

    porosity: Array32
    capacity: Array32
    wilting: Array32
    power: Array32
    surface_rate: Array32
    root_rate: Array32
    interflow: Array32
    gathering: Array32
    demand: Array32


def make_texture(frame: Frame, terrain: Terrain, seed: int) -> Texture:
    """Return texture that varies over kilometres and hundreds of metres, finer and richer in the hollows."""
    rng = stream(seed, "texture")
    first, second, third = (gaussian_field(rng, frame.shape, frame.spacing, _REGIONAL) for _ in range(3))
    hollow = np.clip(terrain.hollow, -2.0, 2.5)
    sand = np.clip(43.0 + 16.5 * first - 5.0 * hollow, 4.0, 92.0)
    clay = np.clip(23.0 - 6.0 * first + 5.0 * second + 3.5 * hollow, 3.0, 60.0)
    clay = np.minimum(clay, 97.0 - sand)
    organic = np.clip(1.6 * np.exp(0.35 * third + 0.15 * hollow - 0.1 * first), 0.2, 8.0)
    return Texture(sand, clay, organic)


def porosity_of(sand: Array32, organic: Array32) -> Array32:
    """Return porosity (m3 m-3) from sand and organic matter (%).

    Mineral part after Cosby et al. (1984, Water Resources Research 20), mixed with organic soil of porosity 0.9 by
    the density of organic carbon over 130 kg m-3 (Lawrence and Slater, 2008, Climate Dynamics 30); organic matter
    is 58 % carbon, and a bulk density of 1350 kg m-3 turns mass into density.
    """
    share = np.clip(organic / 100.0 * 0.58 * 1350.0 / 130.0, 0.0, 0.5)
    return np.asarray((1.0 - share) * (0.489 - 0.00126 * sand) + share * 0.9, dtype=np.float32)


def make_hydraulics(frame: Frame, terrain: Terrain, texture: Texture, seed: int) -> Hydraulics:
    """Return hydraulic properties: Cosby et al. (1984) and Clapp and Hornberger (1978), times what no map knows.

    Macropores, structure, rooting and the like appear as random factors that stand in no file, so that even a
    perfect reading of the files leaves part of the soil moisture unexplained.
    """
    rng = stream(seed, "hidden")
    hidden = [gaussian_field(rng, frame.shape, frame.spacing, _HIDDEN) for _ in range(4)]
    porosity = np.clip(porosity_of(texture.sand, texture.organic) * (1.0 + 0.045 * hidden[0]), 0.33, 0.58)
    b = (2.91 + 0.159 * texture.clay) * np.exp(0.09 * hidden[1])
    suction = 10.0 * 10.0 ** (1.88 - 0.0131 * texture.sand)
    conductivity = 86400 * 0.0070556 * 10.0 ** (-0.884 + 0.0153 * texture.sand) * np.exp(0.55 * hidden[2])
    capacity = porosity * (suction / _FIELD_CAPACITY_MM) ** (1.0 / b)
    wilting = porosity * (suction / _WILTING_MM) ** (1.0 / b)
    power = 2.0 * b + 2.0
    shallow = np.exp(
        -1.3 * np.clip(0.4 * terrain.wetness + 0.6 * terrain.hollow, -1.5, 2.2)
    )  # the nearer the water table, the less can drain (TOPMODEL)
    values = (
        porosity,
        capacity,
        wilting,
        power,
        power * conductivity / (porosity * SURFACE_MM),
        power * conductivity * shallow / (porosity * ROOT_MM),
        np.clip(0.15 + 4.0 * terrain.gradient, 0.15, 0.7),
        np.clip(0.5 * terrain.wetness + 0.7 * terrain.hollow + 0.2, 0.02, 4.0),
        np.exp(0.13 * hidden[3]),
    )
    return Hydraulics(*(np.ascontiguousarray(v, dtype=np.float32) for v in values))
