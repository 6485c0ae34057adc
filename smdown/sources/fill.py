"""Filling the cube of a source part by part: each part leaves a record, and the last one writes the report.

A record is a small JSON object beside the cube, written when the part's pixels are on disk. Whoever finds all records
there finishes the cube; two that find them at once write the same bytes.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import fsspec
import xarray as xr

from smdown import cubes
from smdown.cubes import Cube, manifest, store
from smdown.errors import CubeError, InputError
from smdown.sources import table
from smdown.sources.aside import FileError, SetAside
from smdown.sources.prepared import Part, PreparedGrid
from smdown.sources.quality import (
    Quality,
    describe_variable,
    find_gaps,
    quality_url,
    read_json,
    write_quality,
    write_text,
)
from smdown.sources.table import PreparedStations
from smdown.sources.tally import Tally


@dataclass(frozen=True)
class Origin:
    """What the results of a source are signed with.

    Parameters
    ----------
    name, kind : str
        The source.
    url : str
        Its cube.
    fingerprint : str
        Identity of whatever determines it.
    start, end : str
        The project's period.
    parts : int
        Parts that its cube is filled in.
    """

    name: str
    kind: str
    url: str
    fingerprint: str
    start: str
    end: str
    parts: int = 1

    @property
    def records(self) -> str:
        """Folder of the parts' records."""
        return self.url.removesuffix(".zarr") + ".parts"

    @property
    def attrs(self) -> dict[str, Any]:
        """Attributes of the cube."""
        return {"title": f"{self.name} as ingested", "kind": self.kind}


def start(origin: Origin, prepared: PreparedGrid) -> set[str]:
    """Create the empty cube of a source, or take up what an interrupted run left; return the parts that are done.

    Where that is all of them, the cube is finished too.
    """
    spec = prepared.spec(origin.fingerprint, origin.attrs)
    records = read_records(origin)
    try:
        if cubes.exists(origin.url) and records:
            cubes.create_cube(origin.url, spec, resume=True)
            if len(records) == origin.parts:
                finish(origin, list(records.values()))
            return set(records)
    except CubeError:
        pass  # of other inputs, or damaged: it is made anew
    cubes.delete(origin.records)
    cubes.delete(quality_url(origin.url))
    cubes.create_cube(origin.url, spec, overwrite=True)
    return set()


def fill_part(origin: Origin, part: Part, prepared: PreparedGrid) -> tuple[int, list[str]]:
    """Write one part and its record; the last part finishes the cube.

    Returns
    -------
    tuple
        Pixels written, and what the user should hear of.
    """
    prepared, tallies = _write(cubes.open_cube(origin.url), prepared)
    record = {
        "fingerprint": origin.fingerprint,
        "inputs": prepared.inputs,
        "notes": prepared.notes,
        "used": sorted(prepared.used - prepared.aside.reasons.keys()),
        "set_aside": prepared.aside.reasons,
        "tallies": {name: tally.as_json() for name, tally in tallies.items()},
    }
    write_text(cubes.join(origin.records, f"{part.key}.json"), json.dumps(record))
    notes = prepared.aside.notes
    records = read_records(origin)
    if len(records) == origin.parts:
        notes = [prepared.inputs, *notes, *describe(finish(origin, list(records.values())))]
    return sum(tally.total for tally in tallies.values()), notes


def _write(cube: Cube, prepared: PreparedGrid) -> tuple[PreparedGrid, dict[str, Tally]]:
    """Write all blocks of a part; where a file breaks midway, begin again without it."""
    notes, done = list(prepared.notes), dict(prepared.aside.reasons)
    while True:
        prepared = dataclasses.replace(
            prepared, notes=list(notes), aside=SetAside(prepared.aside.strict, dict(done)), used=set(), watches={}
        )
        tallies = {variable.name: Tally() for variable in prepared.variables}
        try:
            for block in prepared.blocks():
                cube.write(block.variable, block.values, block.window, block.time)
                tallies[block.variable].add(block.values, block.time)
            prepared.check_watches()
        except FileError as error:
            aside = SetAside(prepared.aside.strict, done)
            aside.put(error.item, error)
            prepared = dataclasses.replace(prepared, aside=aside).without(error.item)
        else:
            return prepared, tallies


def read_records(origin: Origin) -> dict[str, Mapping[str, Any]]:
    """Return the records of the parts of this very source, by key, in order."""
    fs, folder = fsspec.core.url_to_fs(origin.records)
    if not fs.exists(folder):
        return {}
    names = sorted(str(path).rsplit("/", 1)[-1] for path in fs.ls(folder, detail=False, refresh=True))
    found = {n.removesuffix(".json"): read_json(cubes.join(origin.records, n)) for n in names if n.endswith(".json")}
    return {key: record for key, record in found.items() if record and record["fingerprint"] == origin.fingerprint}


def finish(origin: Origin, records: Sequence[Mapping[str, Any]]) -> Quality:
    """Write the report of a source whose parts are all done, and mark its cube as complete.

    Raises
    ------
    InputError
        If files were set aside and a variable has no value at all.
    """
    cube = cubes.open_cube(origin.url)
    aside: dict[str, str] = {}
    for record in records:
        aside |= record["set_aside"]
    used = {name for record in records for name in record["used"]}
    tallies = {v.name: Tally() for v in cube.spec.variables}
    for record in records:
        for name, tally in record["tallies"].items():
            tallies[name].merge(Tally.from_json(tally))
    if aside and not all(tally.valid for tally in tallies.values()):
        _drop_records(origin)
        raise SetAside(reasons=aside).nothing_left(f"{len(aside) + len(used)} files", len(aside) + len(used))
    days = [cube.spec.times[n] for n in sorted(set().union(*(t.days for t in tallies.values())))]
    quality = Quality(
        source=origin.name,
        kind=origin.kind,
        inputs=str(cube.attrs["inputs"]),
        fingerprint=origin.fingerprint,
        files=len(used),
        set_aside=dict(sorted(aside.items())),
        days=len(cube.spec.times),
        first=days[0] if days else "",
        last=days[-1] if days else "",
        gaps=find_gaps(days, origin.start, origin.end) if cube.spec.times else (),
        variables={
            v.name: describe_variable(tallies[v.name], v.units, len(cube.spec.times) if v.timed else 0)
            for v in cube.spec.variables
        },
        notes=tuple(dict.fromkeys(note for record in records for note in record["notes"])),
    )
    write_quality(origin.url, quality)
    _record_aside(origin.url, quality)
    cube.finish()
    _drop_records(origin)
    return quality


def _drop_records(origin: Origin) -> None:
    with suppress(OSError):  # another that finished the same source was first
        cubes.delete(origin.records)


def _record_aside(url: str, quality: Quality) -> None:
    """Write the files set aside into the attributes of the cube, in a way that its manifest knows of."""
    place = cubes.join(url, manifest.ROOT)
    old, known = store.get(place), manifest.read(url)
    active = known.active(old) if known else None
    if not quality.set_aside or old is None or active is None:
        return
    document = json.loads(old)
    document["attributes"]["set_aside"] = "\n".join(quality.set_aside.values())
    new = json.dumps(document, indent=2).encode()
    state = {**active, manifest.ROOT: manifest.digest(new)}
    manifest.write(url, [active, state])
    store.put(place, new)
    manifest.write(url, [state])


def describe(quality: Quality) -> list[str]:
    """Return a report in words, a line for the days and one for each variable."""
    lines = []
    if quality.days:
        lines.append(f"{quality.days} days, {quality.first or 'none with a value'} to {quality.last}")
    for name, v in quality.variables.items():
        text = f"{name}: {v.share:.1%} valid"
        if v.minimum is not None:
            text += f", {v.minimum:.4g} to {v.maximum:.4g} {v.units}".rstrip()
        lines.append(f"{text}, {v.empty_days} of {quality.days} days empty" if v.empty_days else text)
    if long := [gap for gap in quality.gaps if gap.days > 1]:
        shown = ", ".join(f"{gap.first} to {gap.last}" for gap in long[:3])
        lines.append(f"{len(long)} gaps of more than a day: {shown}{' and on' if len(long) > 3 else ''}")
    return [*lines, *quality.notes]


def write_stations(origin: Origin, prepared: PreparedStations) -> tuple[int, list[str]]:
    """Write a table of stations and its report.

    Raises
    ------
    InputError
        If no station has a good value.
    """
    stations = prepared.table()
    if not stations.sizes.get("station"):
        first = next((f"; set aside: {r}" for r in prepared.aside.reasons.values()), "")
        raise InputError(
            f"got {prepared.inputs}, without one good value in the period; change period, flags or layers{first}"
        )
    quality = _station_quality(origin, prepared, stations)
    attrs = origin.attrs | {"inputs": prepared.inputs}
    if quality.set_aside:
        attrs["set_aside"] = "\n".join(quality.set_aside.values())
    table.write_table(origin.url, stations, origin.fingerprint, attrs)
    write_quality(origin.url, quality)
    count = f"{stations.sizes['station']} stations, {', '.join(describe(quality)[:1])}"
    notes = [prepared.inputs, *prepared.aside.notes, count, *describe(quality)[1:]]
    return sum(int(v.size) for v in stations.data_vars.values()), notes


def _station_quality(origin: Origin, prepared: PreparedStations, stations: xr.Dataset) -> Quality:
    days: Sequence[str] = [str(t)[:10] for t in stations["time"].to_numpy()]
    tallies = {str(name): Tally() for name in stations.data_vars}
    for name, tally in tallies.items():
        for n, values in enumerate(stations[name].transpose("time", "station").to_numpy()):
            tally.add(values, n)
    known = [days[n] for n in sorted(set().union(*(t.days for t in tallies.values())))]
    return Quality(
        source=origin.name,
        kind=origin.kind,
        inputs=prepared.inputs,
        fingerprint=origin.fingerprint,
        files=prepared.files,
        set_aside=dict(sorted(prepared.aside.reasons.items())),
        days=len(days),
        first=known[0],
        last=known[-1],
        gaps=find_gaps(known, origin.start, origin.end),
        variables={
            n: describe_variable(t, str(stations[n].attrs.get("units", "")), len(days)) for n, t in tallies.items()
        },
        notes=tuple(prepared.notes),
    )
