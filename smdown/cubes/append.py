"""Add days to a cube: objects of earlier days stay as they are, readers see the new length at once or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
import zarr

from smdown.cubes import manifest, store
from smdown.cubes.cube import RECEIPTS, WRITE_ALL, Cube
from smdown.cubes.opening import open_cube
from smdown.errors import CubeError

Documents = dict[str, dict[str, Any]]


def append_times(
    url: str, days: Sequence[str], *, fingerprint: str | None = None, made_from: Mapping[str, Any] | None = None
) -> Cube:
    """Lengthen the time axis of a cube by a batch of days, to be filled tile by tile.

    The new batch is the last: ``cube.done(batch)`` and ``cube.commit(row, col, batch)`` with
    ``batch = len(cube.batches) - 1`` keep its receipts. No data object and no receipt of earlier days is touched; the
    metadata documents, the manifest and the coordinate ``time`` are rewritten.

    Parameters
    ----------
    url : str
        Local path or fsspec URL.
    days : sequence of str
        ISO days, increasing, later than all days of the cube. If they are already its last batch, nothing changes:
        repeating a call that was cut short is safe.
    fingerprint : str, optional
        New identity of whatever determines the content; by default the cube keeps its own.
    made_from : mapping, optional
        What the new identity is of, in words.

    Returns
    -------
    Cube
        Open for writing the new days.

    Raises
    ------
    CubeError
        If the days do not follow those of the cube, or it has no time axis.

    Notes
    -----
    One process may append to a cube at a time. The new documents of the arrays come first, the group's last; it holds
    a copy of them all and is what readers go by, so that a cube whose lengthening was cut short reads as before.
    """
    cube = open_cube(url)
    if _is_last_batch(cube, days):
        _settle(url)
        return cube
    _check_days(cube, days)
    signed = {"fingerprint": fingerprint, "made_from": None if made_from is None else dict(made_from)}
    old = {key: store.get(store.join(url, key)) or b"" for key in _keys(cube)}
    new = {key: json.dumps(d, indent=2).encode() for key, d in _lengthened(cube, days, old, signed).items()}
    manifest.write(url, _states(url, old, new))
    for key in new.keys() - {manifest.ROOT}:
        if new[key] != old[key]:
            store.put(store.join(url, key), new[key])
    _write_days(url, len(cube.times), days)
    store.put(store.join(url, manifest.ROOT), new[manifest.ROOT])
    manifest.write(url, [manifest.state(new)])
    return open_cube(url)


def _states(url: str, old: Mapping[str, bytes], new: Mapping[str, bytes]) -> list[manifest.State]:
    """Return the state that counts, the one to come, and what an earlier call that was cut short may have left."""
    known = manifest.read(url)
    active = known.active(old[manifest.ROOT]) if known else None
    if known is None or active is None:
        return [manifest.state(old), manifest.state(new)]
    return [active, manifest.state(new), *(s for s in known.states if s is not active)]


def _settle(url: str) -> None:
    """Let the manifest hold the present state alone, where a call was cut short before it said so."""
    known = manifest.read(url)
    active = known.active(store.get(store.join(url, manifest.ROOT))) if known else None
    if known and active and len(known.states) > 1:
        manifest.write(url, [active])


def _is_last_batch(cube: Cube, days: Sequence[str]) -> bool:
    return len(cube.batches) > 1 and tuple(days) == cube.spec.times[-cube.batches[-1] :]


def _check_days(cube: Cube, days: Sequence[str]) -> None:
    if cube.layout == 1:
        raise CubeError(f"got {cube.url}, made by an earlier version of smdown; make it again to lengthen it")
    if not cube.spec.times:
        raise CubeError(f"got {cube.url}, which has no time axis to append to")
    every = [*cube.spec.times, *days]
    if not days or every != sorted(set(every)) or not all(map(_is_day, days)):
        raise CubeError(
            f"got days {', '.join(days[:3]) or '(none)'} to append to {cube.url}, which ends on {cube.spec.times[-1]}; "
            "give later ISO days, each once, in order"
        )


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _keys(cube: Cube) -> list[str]:
    return [manifest.ROOT, *(f"{name}/{manifest.ROOT}" for name in _members(cube))]


def _members(cube: Cube) -> list[str]:
    return sorted([*cube.variables, "y", "x", "spatial_ref", "time", RECEIPTS])


def _lengthened(cube: Cube, days: Sequence[str], old: Mapping[str, bytes], signed: Mapping[str, Any]) -> Documents:
    """Return every metadata document as it will be, starting from the copies in the group's own."""
    root = json.loads(old[manifest.ROOT])
    copies = root["consolidated_metadata"]["metadata"]
    total = len(cube.times) + len(days)
    for name in ["time", *(v.name for v in cube.variables.values() if v.timed)]:
        copies[name]["shape"][0] = total
    copies[RECEIPTS]["shape"][2] = len(cube.batches) + 1
    own = root["attributes"]["smdown"]
    own["batches"] = [*cube.batches, len(days)]
    own.update({key: value for key, value in signed.items() if value is not None})
    return {manifest.ROOT: root} | {f"{name}/{manifest.ROOT}": copies[name] for name in _members(cube)}


def _write_days(url: str, first: int, days: Sequence[str]) -> None:
    axis = zarr.open_array(store.zarr_store(url), path="time", mode="r+", zarr_format=3)
    axis.with_config(WRITE_ALL)[first:] = np.array(days, dtype="datetime64[D]").astype(np.int64)
