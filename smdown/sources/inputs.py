"""The files that a source of files names: by paths and URLs, or as assets of STAC items."""

from __future__ import annotations

from collections.abc import Sequence

from smdown.errors import InputError
from smdown.sources.aside import SetAside
from smdown.sources.config import FileSource
from smdown.sources.context import IngestContext
from smdown.sources.places import Place, find_places
from smdown.sources.stac import StacItem, find_items


def source_files(
    config: FileSource, suffixes: Sequence[str], context: IngestContext | None = None, aside: SetAside | None = None
) -> tuple[Place, ...]:
    """Return the files that a source names; of a STAC search without an extent, its address alone.

    Parameters
    ----------
    config : FileSource
        The source.
    suffixes : sequence of str
        Endings of its files.
    context : IngestContext, optional
        Extent and period of the search.
    aside : SetAside, optional
        Receives items without the asset.

    Raises
    ------
    InputError
        If a path names nothing, or no item has the asset.
    """
    if config.stac is None:
        return find_places(config.paths, suffixes)
    if context is None:
        return tuple(Place(path) for path in config.paths)
    aside = aside or SetAside()
    items = [item for path in config.paths for item in find_items(path, config.stac, context, aside, dated=True)]
    key = config.stac.asset
    found = [aside.attempt(item.id, lambda item=item: asset_of(item, key, suffixes)) for item in items]  # type: ignore[misc]
    places = {place for place in found if place is not None}
    if not places:
        raise aside.nothing_left(f"{len(items)} STAC items", len(items))
    return tuple(sorted(places))


def asset_of(item: StacItem, key: str | None, suffixes: Sequence[str]) -> Place:
    """Return the place of an item's asset: the named one, or the only one with such an ending.

    Raises
    ------
    InputError
        If there is none, or more than one.
    """
    if key is not None:
        return item.asset(key)
    fitting = {place for place in item.assets.values() if place.name.lower().endswith(tuple(suffixes))}
    if len(fitting) != 1:
        listed = ", ".join(item.assets)
        raise InputError(
            f"got the STAC item {item.id} with {len(fitting)} assets that end in {' or '.join(suffixes)}; it has "
            f"{listed or 'none'}; set asset in stac"
        )
    return fitting.pop()
