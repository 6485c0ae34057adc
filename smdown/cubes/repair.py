"""Take damaged tiles out of a cube, so that the stage which made it makes them again, and only them."""

from __future__ import annotations

import json

from smdown.cubes import manifest, store
from smdown.cubes.cube import RECEIPTS
from smdown.cubes.verify import Verdict


def repair(verdict: Verdict) -> int:
    """Withdraw the receipts of damaged tiles, and restore array metadata from the copy that the group holds.

    Parameters
    ----------
    verdict : Verdict
        Of :func:`smdown.cubes.verify`. Faults of coordinates, of the group's own metadata and of the manifest stay:
        such a cube has to be made again.

    Returns
    -------
    int
        Tiles that have to be written again: the stage does so when it is run.
    """
    for fault in verdict.faults:
        if fault.tile is not None:
            store.delete(store.join(verdict.url, fault.key))
        elif fault.key.endswith("/" + manifest.ROOT):
            _restore(verdict.url, fault.key)
    tiles = {fault.tile for fault in verdict.faults if fault.tile is not None}
    for tile in tiles:
        store.delete(store.join(verdict.url, RECEIPTS, "c", *map(str, tile)))
    return len(tiles)


def _restore(url: str, key: str) -> None:
    """Write an array's document from its copy, if that gives the very bytes that the manifest knows."""
    root = json.loads(store.get(store.join(url, manifest.ROOT)) or b"{}")
    copy = root.get("consolidated_metadata", {}).get("metadata", {}).get(key.removesuffix("/" + manifest.ROOT))
    document = json.dumps(copy, indent=2).encode()
    known = manifest.read(url)
    if known and any(manifest.digest(document) == state.get(key) for state in known.states):
        store.put(store.join(url, key), document)
