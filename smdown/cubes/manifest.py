"""The manifest of a cube: SHA-256 of each metadata document, in an object that is checked itself.

Data objects carry their own CRC-32C; the JSON documents of Zarr carry nothing, though one flipped bit in a scale or a
fill value changes every number. The manifest lies beside the receipts, where no Zarr reader looks. While a cube is
being changed it holds two states, before and after; the group's document says which one counts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from smdown.cubes import store
from smdown.errors import CubeError

KEY = "receipts/manifest.json"
ROOT = "zarr.json"

State = Mapping[str, str]


@dataclass(frozen=True)
class Manifest:
    """Digests of the metadata documents by their keys: as they stand and, in the midst of a change, as they will."""

    states: tuple[State, ...]

    def encode(self) -> bytes:
        """Return the object's bytes: the digest of what follows, then plain JSON."""
        body = json.dumps({"documents": [dict(s) for s in self.states]}, sort_keys=True, indent=1).encode()
        return digest(body).encode() + b"\n" + body

    def active(self, root: bytes | None) -> State | None:
        """Return the state that the group's document belongs to, None where it is damaged."""
        found = None if root is None else digest(root)
        return next((s for s in self.states if s[ROOT] == found), None)

    def accepts(self, key: str, document: bytes, active: State) -> bool:
        """Whether a document may look like that: until the group's document changes, the others may be ahead of it."""
        allowed = self.states if active is self.states[0] else (active,)
        return digest(document) in {s.get(key) for s in allowed}


def digest(data: bytes) -> str:
    """Return the SHA-256 in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def decode(data: bytes) -> Manifest:
    """Return the manifest of an object's bytes.

    Raises
    ------
    CubeError
        If they are not what :meth:`Manifest.encode` wrote.
    """
    head, _, body = data.partition(b"\n")
    if head != digest(body).encode():
        raise CubeError("its own digest does not fit it")
    return Manifest(tuple(json.loads(body)["documents"]))


def read(url: str) -> Manifest | None:
    """Return the manifest of the cube at `url`, None where there is none."""
    data = store.get(store.join(url, KEY))
    return None if data is None else decode(data)


def write(url: str, states: Iterable[State]) -> None:
    """Write the manifest of the cube at `url`."""
    store.put(store.join(url, KEY), Manifest(tuple(states)).encode())


def state(documents: Mapping[str, bytes]) -> State:
    """Return the digests of documents."""
    return {key: digest(data) for key, data in documents.items()}


def check_root(url: str) -> None:
    """Raise CubeError where the group's document is not the one that the manifest knows.

    All that a reader believes stands in that document: the identity, and a copy of every array's metadata.
    A cube without manifest passes.
    """
    for _ in range(2):  # once more where somebody appended between the two readings
        root = store.get(store.join(url, ROOT))
        found = read(url)
        if found is None or root is None or found.active(root) is not None:
            return
    raise CubeError(f"{ROOT} was changed or damaged since it was written")


def seal(url: str) -> None:
    """Write a manifest of every object of a small Zarr that is written once and whole, such as a table of stations."""
    keys = sorted(store.sizes(url).keys() - {KEY})
    write(url, [state({key: store.get(store.join(url, key)) or b"" for key in keys})])
