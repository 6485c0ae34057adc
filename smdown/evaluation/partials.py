"""What one tile leaves behind: small JSON objects that appear whole or not at all, and that add up."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any, Self

from smdown.cubes import get, join, put
from smdown.cubes.store import names
from smdown.errors import InputError
from smdown.evaluation.consistency import Mass, Seams
from smdown.evaluation.resampled import Blocks
from smdown.evaluation.stats import Comparison
from smdown.evaluation.tallies import Tallies


@dataclass
class Partial:
    """Results of some tiles.

    Parameters
    ----------
    truth : dict
        Comparison with the truth, by layer, day and member.
    mass, seams : dict
        By layer and day.
    scatter : dict
        Joint histogram of truth and ensemble, by layer: count by ``"<truth bin>,<estimate bin>"``.
    matchups : list of dict
        One row per station, layer and day.
    errors : dict
        Pixels and squared errors against the truth, by layer and member: by block of cells, for the bootstrap.
    samples : list of dict
        One row per station, layer and day: other products there, and the dissimilarity index.
    tallies : Tallies
        All other sums.
    """

    truth: dict[tuple[str, str, str], Comparison] = field(default_factory=lambda: defaultdict(Comparison))
    mass: dict[tuple[str, str], Mass] = field(default_factory=lambda: defaultdict(Mass))
    seams: dict[tuple[str, str], Seams] = field(default_factory=lambda: defaultdict(Seams))
    scatter: dict[str, dict[str, int]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(int)))
    matchups: list[dict[str, Any]] = field(default_factory=list)
    errors: dict[tuple[str, str], Blocks] = field(default_factory=lambda: defaultdict(Blocks))
    samples: list[dict[str, Any]] = field(default_factory=list)
    tallies: Tallies = field(default_factory=Tallies)

    def add(self, other: Partial) -> None:
        """Take in the results of other tiles."""
        for key, comparison in other.truth.items():
            self.truth[key] += comparison
        for place, mass in other.mass.items():
            self.mass[place] += mass
        for place, seams in other.seams.items():
            self.seams[place] += seams
        for layer, counts in other.scatter.items():
            for bins, count in counts.items():
                self.scatter[layer][bins] += count
        self.matchups.extend(other.matchups)
        for member, blocks in other.errors.items():
            self.errors[member].add(blocks)
        self.samples.extend(other.samples)
        self.tallies.add(other.tallies)

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON; floats keep every bit."""
        return {
            "truth": [[*key, *value.as_list()] for key, value in self.truth.items()],
            "mass": [[*key, *_values(value)] for key, value in self.mass.items()],
            "seams": [[*key, *_values(value)] for key, value in self.seams.items()],
            "scatter": self.scatter,
            "matchups": self.matchups,
            "errors": [[*key, value.as_json()] for key, value in self.errors.items()],
            "samples": self.samples,
            "tallies": self.tallies.as_json(),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Return the partial that :meth:`as_json` wrote."""
        out = cls()
        out.truth.update({(r[0], r[1], r[2]): Comparison.from_list(r[3:]) for r in data["truth"]})
        out.mass.update({(r[0], r[1]): Mass(*r[2:]) for r in data["mass"]})
        out.seams.update({(r[0], r[1]): Seams(*r[2:]) for r in data["seams"]})
        for layer, counts in data["scatter"].items():
            out.scatter[layer].update(counts)
        out.matchups.extend(data["matchups"])
        out.errors.update({(r[0], r[1]): Blocks.from_json(r[2]) for r in data["errors"]})
        out.samples.extend(data["samples"])
        out.tallies = Tallies.from_json(data["tallies"])
        return out


def _values(value: Mass | Seams) -> list[float]:
    return [getattr(value, f.name) for f in fields(value)]


def total(keys: Iterable[tuple[Any, ...]], values: dict[Any, Any], zero: Any) -> Any:
    """Return the sum of the values of some keys, in sorted order so that the result has one value only."""
    out = zero
    for key in sorted(keys):
        out = out + values[key]
    return out


def write_text(url: str, text: str) -> None:
    """Write a small file so that it appears whole: by renaming on a local disk, as one object elsewhere."""
    put(url, text.encode())


def write_json(url: str, data: Any) -> None:
    """Write strict JSON, whole or not at all; what is not a finite number becomes null."""
    write_text(url, json.dumps(plain(data), indent=1, allow_nan=False) + "\n")


def plain(data: Any) -> Any:
    """Return data with null in place of every float that is not finite."""
    if isinstance(data, dict):
        return {key: plain(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [plain(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def read_text(url: str) -> str:
    """Read a small file from any place."""
    found = get(url)
    if found is None:
        raise FileNotFoundError(url)
    return found.decode()


def partial_url(folder: str, row: int, col: int) -> str:
    """Return where a tile leaves its results."""
    return join(folder, f"{row:05d}_{col:05d}.json")


def finished(folder: str) -> set[str]:
    """Return the names of the partial results that are there."""
    return {name for name in names(folder) if name.endswith(".json")}


def read_all(folder: str) -> Partial:
    """Return the sum of all partial results, tile by tile in order: one in memory at a time."""
    out = Partial()
    for name in sorted(finished(folder)):
        url = join(folder, name)
        try:
            part = Partial.from_json(json.loads(read_text(url)))
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise InputError(f"got {url}, which is damaged; delete it and run the same command again") from error
        out.add(part)
    return out
