"""Finding rasters through STAC: an item, an item collection, a static catalogue or collection, or an API's root.

Needs the extra ``stac`` (pystac-client) for catalogues and APIs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urljoin

import fsspec

from smdown.errors import InputError
from smdown.sources.aside import SetAside
from smdown.sources.config import StacQuery
from smdown.sources.context import IngestContext
from smdown.sources.places import Place, remote_errors


@dataclass(frozen=True)
class StacItem:
    """One item: its day and the places of its assets.

    Parameters
    ----------
    id : str
        Its name in its collection.
    day : str
        ISO day, UTC.
    assets : dict
        Place of each asset, by key.
    data : dict
        All of it, as read.
    """

    id: str
    day: str
    assets: dict[str, Place]
    data: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def asset(self, key: str) -> Place:
        """Return the place of an asset.

        Raises
        ------
        InputError
            If the item has none of that key.
        """
        if key not in self.assets:
            raise InputError(f"got the STAC item {self.id} without the asset {key!r}; it has {', '.join(self.assets)}")
        return self.assets[key]


def find_items(path: str, query: StacQuery, context: IngestContext, aside: SetAside, *, dated: bool) -> list[StacItem]:
    """Return the items that meet the extent, and the period where `dated`, in order of day and name.

    Parameters
    ----------
    path : str
        Item, item collection, catalogue, collection or API root: a local path or URL.
    query : StacQuery
        Collections and conditions.
    context : IngestContext
        Extent and period.
    aside : SetAside
        Receives items that are no STAC.
    dated : bool
        Whether the period matters.

    Raises
    ------
    InputError
        If nothing can be read there, or nothing is found.
    """
    west, south, east, north = context.lonlat
    box = (west - context.margin, south - context.margin, east + context.margin, north + context.margin)
    period = (context.first, context.end) if dated else None
    found = []
    for data, base in _features(path, query, box, period):
        item = aside.attempt(base, lambda data=data, base=base: _item(data, base))  # type: ignore[misc]
        if item is not None and _wanted(data, item, query, box, period):
            found.append(item)
    if not found:
        when = f", {context.first} to {context.end}" if dated else ""
        raise InputError(
            f"empty extent: got no STAC item at {path} for the project's extent (lon {west:.3f} to {east:.3f}, "
            f"lat {south:.3f} to {north:.3f}{when}); correct path or stac"
        )
    return sorted(found, key=lambda item: (item.day, item.id))


def _features(
    path: str, query: StacQuery, box: tuple[float, ...], period: tuple[str, str] | None
) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield items as GeoJSON, each with the address that its relative links start from."""
    document = _read(path)
    kind = document.get("type")
    if kind == "Feature":
        yield document, path
    elif kind == "FeatureCollection":
        for feature in document.get("features", []):
            yield feature, _self_link(feature) or path
    elif kind in ("Catalog", "Collection"):
        links = document.get("links", [])
        if any(link.get("rel") == "search" for link in links):
            yield from _search(path, query, box, period)
        else:
            yield from _walk(document, path)
    else:
        raise InputError(f"got {path}, JSON that is no STAC (its type is {kind!r}); correct path")


def _read(path: str) -> dict[str, Any]:
    with (
        remote_errors(lambda problem: f"got {path}, which cannot be read as STAC ({problem}); correct path"),
        fsspec.open(path, "rb") as file,
    ):
        document = json.loads(file.read())
    if not isinstance(document, dict):
        raise InputError(f"got {path}, JSON that is no STAC; correct path")
    return document


def _walk(document: dict[str, Any], path: str) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield the items of a static catalogue, following its links downwards; each document is read once."""
    todo, seen = [(document, path)], {path}
    while todo:
        here, base = todo.pop()
        for link in here.get("links", []):
            target = _join(base, str(link.get("href", "")))
            if link.get("rel") not in ("item", "child") or target in seen:
                continue
            seen.add(target)
            below = _read(target)
            if link["rel"] == "child":
                todo.append((below, target))
            else:
                yield below, target


def _search(
    path: str, query: StacQuery, box: tuple[float, ...], period: tuple[str, str] | None
) -> Iterator[tuple[dict[str, Any], str]]:
    try:
        import pystac_client
    except ImportError as error:
        raise InputError(f"got the STAC API {path}, which needs pystac-client; install smdown[stac]") from error
    with remote_errors(lambda problem: f"got the STAC API {path}, which answers {problem!r}; correct stac"):
        search = pystac_client.Client.open(path).search(
            bbox=list(box),
            datetime="/".join(period) if period else None,
            collections=list(query.collections) or None,
            query=query.query or None,
        )
        for data in search.items_as_dicts():
            yield data, _self_link(data) or path


def _self_link(data: dict[str, Any]) -> str | None:
    return next((str(link["href"]) for link in data.get("links", []) if link.get("rel") == "self"), None)


def _item(data: dict[str, Any], base: str) -> StacItem:
    try:
        properties = data["properties"]
        stamp = properties.get("datetime") or properties["start_datetime"]
        moment = datetime.fromisoformat(stamp)
        day = (moment if moment.tzinfo is None else moment.astimezone(UTC)).date().isoformat()
        assets = {key: Place(_join(base, asset["href"])) for key, asset in data["assets"].items()}
        return StacItem(str(data["id"]), day, assets, data)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"got {base}, an item that is no STAC ({type(error).__name__}: {error})") from error


def _wanted(
    data: dict[str, Any], item: StacItem, query: StacQuery, box: tuple[float, ...], period: tuple[str, str] | None
) -> bool:
    """Whether an item is of the collections, meets the box and lies in the period."""
    if query.collections and data.get("collection") not in query.collections:
        return False
    if period and not period[0] <= item.day <= period[1]:
        return False
    bounds = data.get("bbox")
    if not bounds:
        return True
    west, south, east, north = (bounds[n] for n in ((0, 1, 2, 3) if len(bounds) == 4 else (0, 1, 3, 4)))
    apart = (west > box[2] or east < box[0]) if west <= east else (west > box[2] and east < box[0])  # antimeridian
    return not (apart or south > box[3] or north < box[1])


def _join(base: str, href: str) -> str:
    """Return an address that may be relative to a document's."""
    if "://" in href or href.startswith("/"):
        return href
    if base.startswith(("http://", "https://")):
        return urljoin(base, href)
    parts = base.split("/")[:-1]
    for part in href.split("/"):
        if part == "..":
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)
