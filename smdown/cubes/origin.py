"""What a cube was made from, in words: a fingerprint says that something has changed, this says what."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from smdown.cubes import manifest, store
from smdown.errors import CubeError

_SHOWN = 4
_WIDTH = 60
ABSENT = "(nothing)"
WAYS_OUT = "restore that, choose another --workdir, or make it again with --fresh"


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Return in one line which values differ, by their dotted names: old and new.

    Parameters
    ----------
    old, new : mapping
        Nested JSON-like values. Lists count as one value, unless both hold mappings with names.
    """
    before, now = dict(_flat(old)), dict(_flat(new))
    names = [name for name in {**before, **now} if before.get(name, ABSENT) != now.get(name, ABSENT)]
    texts = [f"{n} was {_short(before.get(n, ABSENT))}, is {_short(now.get(n, ABSENT))}" for n in names[:_SHOWN]]
    more = [f"and {len(names) - _SHOWN} more"] if len(names) > _SHOWN else []
    return "; ".join(texts + more)


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value that is not a mapping, with its dotted name; mappings in a list by their name or place."""
    if isinstance(value, Mapping) and value:
        inner = {str(key): part for key, part in value.items()}
    elif isinstance(value, list | tuple) and value and all(isinstance(part, Mapping) for part in value):
        inner = {str(part.get("name", place)): part for place, part in enumerate(value)}
    else:
        if name:
            yield name, list(value) if isinstance(value, tuple) else value
        return
    for key, part in inner.items():
        yield from _flat(part, f"{name}.{key}" if name else key)


def _short(value: Any) -> str:
    text = value if value == ABSENT else json.dumps(value, default=str)
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 3]}..."


def check_origin(url: str, made_from: Mapping[str, Any], day_identity: str = "") -> None:
    """Refuse a cube that was made from something else, before any work is done on it.

    Parameters
    ----------
    url : str
        Where a cube may be; one that is not there, or does not say what it was made from, passes.
    made_from : mapping
        Some of what it should have been made from, by the same outermost names as in the cube's own record.
    day_identity : str
        Identity of whatever determines a day. A cube with the same one passes: which days it lacks is found out when it
        is opened.

    Raises
    ------
    CubeError
        With the difference.
    """
    document = store.get(store.join(url, manifest.ROOT))
    try:
        own = json.loads(document or b"{}").get("attributes", {}).get("smdown", {})
        known = {} if day_identity and own.get("day_identity") == day_identity else own.get("made_from", {})
    except (ValueError, AttributeError):
        return
    found = difference({name: known[name] for name in made_from if name in known}, _as_json(made_from))
    if known and found:
        raise CubeError(f"got {url}, which was made with another configuration or input: {found}; {WAYS_OUT}")


def _as_json(value: Mapping[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(value, default=str))
    return plain
